/** The version of this build; all parts of a mesh are built together. */
import manifest from "../../package.json" with { type: "json" };

export const version: string = manifest.version;

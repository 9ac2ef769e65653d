/** The version of this build: control plane, sidecar and command line tool are built together. */
import manifest from "../../package.json" with { type: "json" };

export const version: string = manifest.version;

/** Version of the control plane; the build puts the package's version in. */
declare const NGINX_MESH_VERSION: string | undefined;

export const version: string = typeof NGINX_MESH_VERSION === "string" ? NGINX_MESH_VERSION : "development";

/** The one thing that commands take from the large client library; in a file of its own so that a bundle leaves the rest out. */
export { KubeConfig } from "@kubernetes/client-node";

/** Answers to the module; the same numbers are in src/sidecar/module/ngx_mesh.h. */

/** What to do with a captured connection. */
export const wait = 0;
export const http = 1;
export const grpc = 2;
export const tcp = 3;
/** To where it was going, untouched. */
export const direct = 4;
export const refuse = 5;
/** Incoming: look at the first bytes; added to what plain text is allowed to be, or alone when it is not allowed. */
export const peek = 16;
/** Incoming, times the kind of traffic of the port: whatever TLS comes is the caller's own and ends here. */
export const ingress = 32;
/** Outgoing: added to what else is to be done; a request of HTTP goes through the egress. */
export const egress = 128;
/** Silence of the other side is not waited for long: then it is neither TLS nor HTTP. */
export const impatient = 256;

/** Why there is no endpoint. */
export const noEndpoint = -1;
export const unknown = -2;
export const denied = -3;

/** No destination, edge, or endpoint. */
export const none = -1;

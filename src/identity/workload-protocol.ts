/** Names and messages of the SPIFFE Workload API (SPIFFE Workload API standard, section 5.1). */

/** Header that every caller sends, so that a request forged through an HTTP client of the workload gets nowhere (SPIFFE Workload Endpoint, section 4). */
export const securityHeader = "workload.spiffe.io";

export const serviceName = "SpiffeWorkloadAPI";

/** One identity: SPIFFE ID, chain, key and bundle; certificates are concatenated DER, the key is PKCS#8 DER. */
export interface X509Svid {
  readonly spiffeId: string;
  readonly x509Svid: Uint8Array;
  readonly x509SvidKey: Uint8Array;
  readonly bundle: Uint8Array;
  readonly hint?: string;
}

export interface X509SvidResponse {
  readonly svids: readonly X509Svid[];
  readonly crl?: readonly Uint8Array[];
  readonly federatedBundles?: Readonly<Record<string, Uint8Array>>;
}

export interface X509BundlesResponse {
  readonly crl?: readonly Uint8Array[];
  /** SPIFFE ID of the trust domain → its certificates, concatenated DER. */
  readonly bundles: Readonly<Record<string, Uint8Array>>;
}

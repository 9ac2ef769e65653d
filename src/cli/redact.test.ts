import assert from "node:assert/strict";
import { test } from "node:test";

import { namesSecret, redacted, redactApplication, redactText, redactValue } from "./redact.ts";

const pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIplanted\nsecond\n-----END EC PRIVATE KEY-----";

const texts: readonly (readonly [string, string])[] = [
  [`a ${pem} b`, `a ${redacted} b`],
  ["cut off -----BEGIN PRIVATE KEY-----\nplanted", `cut off ${redacted}`],
  ["t eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.planted-signature_x t", `t ${redacted} t`],
  ["authorization: Bearer planted.token", `authorization: ${redacted}`],
  ["sent Bearer planted12345 on", `sent Bearer ${redacted} on`],
  ["postgres://user:planted@db:5432/x", `postgres://${redacted}@db:5432/x`],
  ["key AKIAIOSFODNN7EXAMPLE.", `key ${redacted}.`],
  ["GET /a?x=1&token=planted&y=2 HTTP/1.1", `GET /a?x=1&token=${redacted}&y=2 HTTP/1.1`],
  ['approle_secret_id = "pla\\"nted"', `approle_secret_id = "${redacted}"`],
  ['{"password":"planted","user":"u"}', `{"password":"${redacted}","user":"u"}`],
  ["DB_PASSWORD=planted other=1", `DB_PASSWORD=${redacted} other=1`],
  ["aws_secret_access_key: planted", `aws_secret_access_key: ${redacted}`],
  ["secretName: registry", "secretName: registry"],
  ["the token bucket is empty", "the token bucket is empty"],
  ["nothing of the kind", "nothing of the kind"],
];

test("texts lose what looks like a secret, and nothing else", () => {
  for (const [text, expected] of texts) {
    assert.equal(redactText(text), expected);
  }
});

test("names of secrets", () => {
  for (const name of [
    "password",
    "DB_PASSWORD",
    "token",
    "apiKey",
    "AWS_SECRET_ACCESS_KEY",
    "clientSecret",
  ]) {
    assert.ok(namesSecret(name), name);
  }
  for (const name of ["secretName", "imagePullSecrets", "tokenExpirationSeconds", "key", "name", "user"]) {
    assert.ok(!namesSecret(name), name);
  }
});

test("objects keep their structure", () => {
  const object = {
    metadata: {
      managedFields: [1],
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "planted", other: "x" },
    },
    spec: {
      env: [
        { name: "DB_PASSWORD", value: "planted" },
        { name: "HOST", value: "db" },
      ],
      volumes: [{ secret: { secretName: "registry" } }],
      token: "planted",
      count: 3,
      none: null,
    },
  };
  assert.deepEqual(redactValue(object), {
    metadata: { annotations: { other: "x" } },
    spec: {
      env: [
        { name: "DB_PASSWORD", value: redacted },
        { name: "HOST", value: "db" },
      ],
      volumes: [{ secret: { secretName: "registry" } }],
      token: redacted,
      count: 3,
      none: null,
    },
  });
});

test("of an application's containers only names, images and ports stay", () => {
  const pod = {
    metadata: { name: "web", annotations: { "config.nsm.nginx.com/mtls-mode": "strict", vendor: "planted" } },
    spec: {
      containers: [
        { name: "web", image: "web:1", args: ["planted"], env: [{ name: "X", value: "planted" }] },
        { name: "nginx-mesh-sidecar", env: [{ name: "MESH_TRUST_DOMAIN", value: "example.org" }] },
      ],
    },
  };
  assert.deepEqual(redactApplication(pod), {
    metadata: { name: "web", annotations: { "config.nsm.nginx.com/mtls-mode": "strict" } },
    spec: {
      containers: [
        { name: "web", image: "web:1" },
        { name: "nginx-mesh-sidecar", env: [{ name: "MESH_TRUST_DOMAIN", value: "example.org" }] },
      ],
      initContainers: [],
      ephemeralContainers: [],
    },
  });
});

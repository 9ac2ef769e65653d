/**
 * An ingress controller before the mesh and behind it: nginx with an SVID of SPIRE in a pod that is labelled as NGINX Ingress
 * Controller's are, with the configuration that it writes. Its public images are not needed for that.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { app } from "./app.ts";
import { described, inNamespace, until, type Namespace } from "./fixture.ts";
import { callerOf, ensureMesh, get, identity, injected, modeAnnotation, version } from "./mesh.ts";

/** Images of the test bed; another cluster has them under other names. */
const agentImage = process.env["TEST_SPIRE_AGENT_IMAGE"] ?? "testbed.local/spire-agent:1.13.3";
const nginxImage = process.env["TEST_NGINX_IMAGE"] ?? `testbed.local/nginx-mesh-sidecar:${version}`;
const bare = { "injector.nsm.nginx.com/auto-inject": "disabled" };
const sockets = "/run/spire/sockets";
const front = 8000;
const internal = 8443;

interface Upstreams {
  /** Address of a pod in mode strict, and of one without a sidecar. */
  readonly strict: string;
  readonly legacy: string;
}

function configuration(name: string, namespace: string, { strict, legacy }: Upstreams): string {
  const host = (address: string): string => (address.includes(":") ? `[${address}]` : address);
  const certificate = (kind: string): string =>
    `${kind}_certificate /svid/svid.0.pem; ${kind}_certificate_key /svid/svid.0.key;`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (part) => `${part}_temp_path /run/nginx/${part};`,
  );
  return `pid /run/nginx/nginx.pid;
error_log stderr info;
events {}
http {
  ${temporary.join("\n  ")}
  access_log off;
  server {
    listen ${front};
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      ${certificate("proxy_ssl")}
      proxy_ssl_trusted_certificate /svid/bundle.0.pem;
      proxy_ssl_server_name on;
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 25;
      proxy_ssl_name strict.${namespace}.svc;
      proxy_pass https://${host(strict)}:8080;
    }
  }
  server {
    listen ${internal} ssl;
    server_name ${name}.${namespace}.svc;
    ${certificate("ssl")}
    ssl_client_certificate /svid/bundle.0.pem;
    ssl_verify_client on;
    ssl_verify_depth 25;
  }
  server {
    listen ${internal} ssl;
    server_name legacy 192.0.2.1;
    ${certificate("ssl")}
    location / {
      proxy_set_header Host $host;
      proxy_set_header X-Gate "$ssl_server_name $ssl_client_verify";
      proxy_pass http://${host(legacy)}:8080;
    }
  }
}
`;
}

/** The SVID is fetched once, before nginx starts: a test is shorter than its life. */
function controller(
  name: string,
  labels: Readonly<Record<string, string>>,
  nginxConf: string,
): readonly object[] {
  const secure = {
    runAsUser: 2102,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  };
  const svid = { name: "svid", mountPath: "/svid" };
  const fetch = ["/opt/spire/bin/spire-agent", "api", "fetch", "x509"];
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { "nginx.conf": nginxConf } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name },
      spec: {
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name, ...labels } },
          spec: {
            serviceAccountName: name,
            automountServiceAccountToken: false,
            securityContext: { fsGroup: 2102 },
            initContainers: [
              {
                name: "svid",
                image: agentImage,
                command: [
                  ...fetch,
                  "-socketPath",
                  `${sockets}/agent.sock`,
                  "-timeout",
                  "30s",
                  "-write",
                  "/svid",
                ],
                securityContext: secure,
                volumeMounts: [svid, { name: "spire", mountPath: sockets, readOnly: true }],
              },
            ],
            containers: [
              {
                name: "nginx",
                image: nginxImage,
                command: [
                  "/usr/sbin/nginx",
                  "-e",
                  "stderr",
                  "-c",
                  "/etc/controller/nginx.conf",
                  "-g",
                  "daemon off;",
                ],
                ports: [
                  { name: "http", containerPort: front },
                  { name: "https", containerPort: internal },
                ],
                readinessProbe: { tcpSocket: { port: front }, periodSeconds: 1 },
                securityContext: secure,
                volumeMounts: [
                  svid,
                  { name: "runtime", mountPath: "/run/nginx" },
                  { name: "configuration", mountPath: "/etc/controller" },
                ],
              },
            ],
            volumes: [
              { name: "svid", emptyDir: { medium: "Memory" } },
              { name: "runtime", emptyDir: { medium: "Memory" } },
              { name: "configuration", configMap: { name } },
              { name: "spire", hostPath: { path: sockets, type: "Directory" } },
            ],
          },
        },
      },
    },
  ];
}

async function addressOf(namespace: Namespace, selector: string): Promise<string> {
  return until(`an address of ${selector}`, 60, async () => {
    const [pod] = await namespace.pods(selector);
    return (pod?.["status"] as { podIP?: string } | undefined)?.podIP;
  });
}

before(() => ensureMesh());

test("ingress and egress", async (context) => {
  await inNamespace(injected, async (namespace) => {
    const egress = { "config.nsm.nginx.com/default-egress-allowed": "true" };
    await namespace.apply(
      ...app({ name: "strict", annotations: modeAnnotation("strict") }),
      ...app({ name: "legacy", labels: bare }),
      ...app({ name: "outsider", labels: bare }),
      ...app({ name: "sender", annotations: { ...egress, ...modeAnnotation("strict") } }),
      ...app({ name: "closed", annotations: modeAnnotation("strict") }),
    );
    const names = ["strict", "legacy", "outsider", "sender", "closed"];
    await namespace.ready(...names.map((name) => `deployment/${name}`));
    const upstreams = {
      strict: await addressOf(namespace, "app=strict"),
      legacy: await addressOf(namespace, "app=legacy"),
    };
    const labels = { "nsm.nginx.com/enable-ingress": "true", "nsm.nginx.com/enable-egress": "true" };
    const conf = (name: string): string => configuration(name, namespace.name, upstreams);
    await namespace.apply(
      ...controller("nic", labels, conf("nic")),
      // it has an identity, and is not known as an ingress controller
      ...controller("unlabelled", { ...bare, "spiffe.io/spiffeid": "true" }, conf("unlabelled")),
    );
    await namespace.ready("deployment/nic", "deployment/unlabelled");
    const step = (name: string, body: () => Promise<void>): Promise<void> =>
      context.test(name, () => described(namespace.name, body));

    await step("a labelled controller is not injected though its namespace is", async () => {
      const [pod] = await namespace.pods("app=nic");
      const spec = pod!["spec"] as { containers: object[]; initContainers: object[] };
      assert.deepEqual([spec.containers.length, spec.initContainers.length], [1, 1]);
    });

    await step(
      "from outside through the controller to a pod in mode strict, which knows who it was",
      async () => {
        const url = `http://${await addressOf(namespace, "app=nic")}:${front}/`;
        // the Service's name comes into the pod's SVID some time after the Service
        const answer = await until("an answer through the controller", 30, async () => {
          const got = await get(namespace, "app=outsider", url);
          return got.status === 200 ? got : undefined;
        });
        assert.equal(callerOf(answer), identity(namespace.name, "nic"));
      },
    );

    await step("a controller without the label is refused, with the same configuration", async () => {
      const url = `http://${await addressOf(namespace, "app=unlabelled")}:${front}/`;
      assert.equal((await get(namespace, "app=outsider", url)).status, 502);
    });

    await step("from a pod in mode strict through the controller to outside, over mTLS", async () => {
      for (const host of ["legacy", "192.0.2.1"]) {
        const answer = await get(namespace, "app=sender", `http://${host}/`);
        assert.equal(answer.status, 200, answer.body);
        const { headers } = JSON.parse(answer.body) as { headers: Record<string, string[]> };
        assert.deepEqual(headers["X-Gate"], [`nic.${namespace.name}.svc SUCCESS`]);
      }
    });

    await step("not from a pod without the annotation", async () => {
      assert.equal((await get(namespace, "app=closed", "http://legacy/")).status, 503);
      assert.equal((await get(namespace, "app=closed", "http://192.0.2.1/")).status, 502);
    });
  });
});

// The official TypeScript client at an endpoint that wants OAuth: it finds the authorization server, registers, and sends
// a person's browser away; then it calls, loses its access token, refreshes, and calls again.
// With `step-up` it calls a tool that wants more scopes, sends the person away once more, and calls that tool again.
// node oauth.mjs sdk|client URL [step-up]: prints {"open": …} for the browser, then what came of it. `sdk` is the package of
// 2025-11-25, `client` that of 2026-07-28.
import { randomUUID } from "node:crypto";
import http from "node:http";

const [kind, url, stepUp] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } =
  kind === "client"
    ? await import("@modelcontextprotocol/client")
    : {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      };
const say = (what) => console.log(JSON.stringify(what));

let cameBack;
const back = () => new Promise((resolve) => (cameBack = resolve));
let coming = back();
const listener = http.createServer((request, response) => {
  response.end("back");
  cameBack(new URL(request.url, "http://127.0.0.1").searchParams);
});
await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
const redirectUrl = `http://127.0.0.1:${listener.address().port}/callback`;

const kept = {};
const provider = {
  redirectUrl,
  clientMetadata: {
    client_name: `The TypeScript client (${kind})`,
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => (kept.state = randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  redirectToAuthorization: (address) => say({ open: address.href }),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
};
const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
const client = () => new Client({ name: "typescript", version: "1" }, { capabilities: {} });

const first = transport();
try {
  await client().connect(first);
  throw new Error("the endpoint wants no token");
} catch (error) {
  if (error.constructor.name !== "UnauthorizedError") throw error;
}
const finished = async (at) => {
  const answer = await coming;
  if (answer.get("state") !== kept.state) throw new Error("another state");
  await (kind === "client" ? at.finishAuth(answer) : at.finishAuth(answer.get("code")));
  return answer;
};
const answer = await finished(first);

const connected = client();
const second = transport();
await connected.connect(second);
const { tools } = await connected.listTools();
const call = async (text) => (await connected.callTool({ name: "echo", arguments: { text } })).content[0].text;
if (stepUp) {
  coming = back();
  const before = kept.tokens.scope;
  try {
    await call("with too few scopes");
    throw new Error("the tool wants no more scopes");
  } catch (error) {
    if (error.constructor.name !== "UnauthorizedError") throw error;
  }
  await finished(second);
  say({ before, after: kept.tokens.scope, text: await call("with more scopes") });
  await connected.close();
  process.exit(0);
}
listener.unref();
const text = await call("with the first token");
const before = kept.tokens;
kept.tokens = { ...before, access_token: "over" };
const again = await call("with a fresh token");
say({
  tools: tools.map((tool) => tool.name),
  texts: [text, again],
  refreshed: kept.tokens.access_token !== before.access_token && kept.tokens.refresh_token !== before.refresh_token,
  issuer: answer.get("iss"),
  scope: before.scope,
});
await connected.close();
process.exit(0);

// A browser page in the hands of a test: the official TypeScript client over WebSocket. Its transport offers only `mcp`,
// and a browser cannot set headers, so the session token goes into the offer of subprotocols.
// node browser.mjs URL [SUBPROTOCOL…]: prints the names of the tools and what `echo` says.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";

const [url, ...more] = process.argv.slice(2);
const Plain = globalThis.WebSocket;
globalThis.WebSocket = class extends Plain {
  constructor(address, protocol) {
    super(address, [protocol, ...more]);
  }
};
const client = new Client({ name: "page", version: "1" }, { capabilities: {} });
await client.connect(new WebSocketClientTransport(new URL(url)));
const { tools } = await client.listTools();
const result = await client.callTool({ name: "echo", arguments: { text: "from a page" } });
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), text: result.content[0].text }));
await client.close();
process.exit(0);

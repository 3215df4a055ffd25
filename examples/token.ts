// npm run token -- --namespace default --grant publish:orders.# --expires 1h
// Prints a token, signed with MILLRACE_SECRET from the environment or from .dev.vars. With --access-key: a pair of keys
// for clients of AWS.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Identity, signAccessKey, signToken } from "../src/edge/identity.ts";
import type { Claims, Grant, GrantVerb } from "../src/protocol/rpc.ts";

const USAGE = `npm run token -- --grant <verb>:<pattern>[@<exchange>] [--grant …] [--namespace default] [--subject name] [--expires 1h] [--jti id]
npm run --silent token -- --access-key --grant …

  --grant      publish, publish-own (its cancel keys are its subject's own), consume, subscribe or manage, and a pattern over names and topics: * is one word, # any number;
               with an exchange, over the topics of that exchange only
  --namespace  default: default
  --subject    who the token is for; names the consumer. Default: cli
  --expires    30s, 15m, 1h, 7d; at most 366d. Default: 1h
  --jti        an id by which the token can be revoked. Default: a random one
  --access-key print AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… instead, for clients that sign their requests

The secret comes from MILLRACE_SECRET, or from the file .dev.vars.`;

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function fail(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function parseGrant(text: string): Grant {
  const colon = text.indexOf(":");
  if (colon < 0) fail(`--grant ${text}: must be <verb>:<pattern>`);
  // Whether it is a verb is checked with everything else, by the code that checks tokens.
  const said = text.slice(0, colon);
  const allowed =
    said === "publish-own" ? { verb: "publish" as const, own: true } : { verb: said as GrantVerb };
  const at = text.lastIndexOf("@");
  if (at < colon) return { ...allowed, pattern: text.slice(colon + 1) };
  return { ...allowed, pattern: text.slice(colon + 1, at), exchange: text.slice(at + 1) };
}

function parseExpires(text: string): number {
  const match = /^(\d+)([smhd])$/.exec(text);
  return match
    ? Number(match[1]) * UNIT_MS[match[2]!]!
    : fail(`--expires ${text}: must be like 30s, 15m, 1h or 7d`);
}

function readSecret(): string {
  if (process.env["MILLRACE_SECRET"]) return process.env["MILLRACE_SECRET"];
  try {
    const line = /^MILLRACE_SECRET\s*=\s*"?([^"\r\n]+)"?\s*$/m.exec(readFileSync(".dev.vars", "utf8"));
    if (line) return line[1]!;
  } catch {
    // No such file: said below.
  }
  return fail("MILLRACE_SECRET: is neither in the environment nor in .dev.vars");
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        namespace: { type: "string", default: "default" },
        subject: { type: "string", default: "cli" },
        grant: { type: "string", multiple: true, default: [] },
        expires: { type: "string", default: "1h" },
        jti: { type: "string", default: crypto.randomUUID() },
        "access-key": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

const options = readOptions();
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}
if (options.grant.length === 0) fail("--grant: is missing");
const secret = readSecret();
const claims: Claims = {
  namespace: options.namespace,
  subject: options.subject,
  jti: options.jti,
  expiresMs: Date.now() + parseExpires(options.expires),
  grants: options.grant.map(parseGrant),
};
const identity = new Identity({ secret });
// What this prints, the broker takes: the same check.
if (options["access-key"]) {
  const { accessKeyId, secretAccessKey } = await signAccessKey(claims, secret);
  const checked = await identity.verifyAccessKey(accessKeyId, Date.now());
  if (!checked.ok) fail(checked.detail);
  console.log(`AWS_ACCESS_KEY_ID=${accessKeyId}\nAWS_SECRET_ACCESS_KEY=${secretAccessKey}`);
} else {
  const token = await signToken(claims, secret);
  const checked = await identity.verify(token, Date.now());
  if (!checked.ok) fail(checked.detail);
  console.log(token);
}

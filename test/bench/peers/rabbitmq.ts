/** RabbitMQ on loopback, with its files in a fresh folder, as the user it has on Debian. */
import { chownSync, existsSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { freePort, freshFolder, start, untilListening, type Program } from "../processes.ts";
import type { Peer } from "./peer.ts";

const SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const USER = "rabbitmq";

export async function startRabbit(): Promise<Peer | null> {
  if (!existsSync(SERVER)) return null;
  const folder = freshFolder("rabbitmq");
  const [port, epmdPort, distPort] = [await freePort(), await freePort(), await freePort()];
  writeFileSync(
    join(folder, "rabbitmq.conf"),
    `listeners.tcp.1 = 127.0.0.1:${port}\nlog.file.level = error\n`,
  );
  writeFileSync(join(folder, "plugins"), "[].\n");
  const env = {
    HOME: folder,
    ERL_EPMD_ADDRESS: "127.0.0.1",
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: "bench@localhost",
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.conf"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "plugins"),
    RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
  };
  giveTo(USER, folder);
  // Started here, so that we know it and can end it: the server would leave it behind.
  const epmd = startAs(USER, "epmd", ["-address", "127.0.0.1", "-port", String(epmdPort)], env, folder);
  await untilListening(epmd, epmdPort);
  const server = startAs(USER, SERVER, [], env, folder);
  try {
    await untilListening(server, port);
  } catch (error) {
    await epmd.stop();
    throw error;
  }
  const stop = async (): Promise<void> => {
    await server.stop();
    await epmd.stop();
  };
  return { url: `amqp://guest:guest@127.0.0.1:${port}`, pid: server.pid, stop };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function giveTo(user: string, folder: string): void {
  if (!isRoot()) return;
  const id = (flag: string): number => Number(execFileSync("id", [flag, user]).toString());
  chownSync(folder, id("-u"), id("-g"));
}

function startAs(
  user: string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
): Program {
  if (!isRoot()) return start(command, args, { env, cwd });
  const as = [`--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
  return start("setpriv", [...as, command, ...args], { env, cwd });
}

// What the broker's objects import of workerd: their base class, and (as the default) the kernels as a module.
import { loadWasmModule } from "../../support/wasm-module.ts";

export class DurableObject {
  protected readonly ctx: unknown;
  protected readonly env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}

export default loadWasmModule();

// Both topic matchers, through one contract.
import { LinearMatcher } from "../../../src/routing/linear-matcher.ts";
import { WasmMatcher } from "../../../src/routing/wasm-matcher.ts";
import { topicMatcherContract } from "../../contract/topic-matcher.ts";
import { loadWasmModule } from "../../support/wasm-module.ts";

topicMatcherContract("LinearMatcher", () => new LinearMatcher());
topicMatcherContract("WasmMatcher", () => new WasmMatcher(loadWasmModule()));

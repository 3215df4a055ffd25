// The parameters of a Query request, as the tree that their dotted names spell:
//
//   MessageAttribute.1.Name=a & MessageAttribute.1.Value.StringValue=b
//
//   MessageAttribute ─ 1 ┬ Name "a"
//                        └ Value ─ StringValue "b"
import { answered, sqsRefusal, type Answer } from "./errors.ts";

/** Most parameters in a request. The largest batch that passes has less than a tenth. */
export const PARAMETER_COUNT_MAX = 10_000;
/** Deeper names belong to no member, and neither does what is left of them when they are cut here. */
const DEPTH_MAX = 11;
/** As far as a position counts. Positions are labels here: nothing is made as long as the largest of them. */
const POSITION = /^[1-9]\d{0,8}$/;

export class ParameterNode {
  value: string | undefined = undefined;
  private children: Map<string, ParameterNode> | null = null;

  child(name: string): ParameterNode | undefined {
    return this.children?.get(name);
  }

  /** The children that are named by their position, in its order. */
  numbered(): readonly ParameterNode[] {
    if (this.children === null) return [];
    return [...this.children]
      .filter(([name]) => POSITION.test(name))
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([, node]) => node);
  }

  /** The first value of a name counts, as it does for the service. */
  add(path: readonly string[], value: string): void {
    const [name, ...rest] = path;
    if (name === undefined) this.value ??= value;
    else this.childMade(name).add(rest, value);
  }

  private childMade(name: string): ParameterNode {
    this.children ??= new Map();
    let child = this.children.get(name);
    if (child === undefined) {
      child = new ParameterNode();
      this.children.set(name, child);
    }
    return child;
  }
}

/** Adds what a query string or a form says to the tree. Escapes must be whole, and UTF-8. */
export function addParameters(text: string, root: ParameterNode): Answer<ParameterNode> {
  const pairs = text.split("&", PARAMETER_COUNT_MAX + 1);
  if (pairs.length > PARAMETER_COUNT_MAX) {
    return malformed(`There are more than ${PARAMETER_COUNT_MAX} parameters.`);
  }
  try {
    for (const pair of pairs) {
      if (pair === "") continue;
      const equals = pair.indexOf("=");
      const name = unescapeForm(equals < 0 ? pair : pair.slice(0, equals));
      root.add(name.split(".", DEPTH_MAX), equals < 0 ? "" : unescapeForm(pair.slice(equals + 1)));
    }
  } catch {
    return malformed("A parameter is not escaped UTF-8.");
  }
  return answered(root);
}

/** Throws on an escape that is cut short and on bytes that are not UTF-8 in its shortest form. */
function unescapeForm(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}

function malformed(reason: string): Answer<never> {
  return sqsRefusal("MalformedQueryString", `The query string contains a syntax error. ${reason}`);
}

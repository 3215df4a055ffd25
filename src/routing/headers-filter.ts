// Which messages a headers filter accepts, as AMQP's x-match does; and why it does not, for people.
import type { Headers, HeaderValue } from "../protocol/batch.ts";
import type { HeadersFilter } from "../protocol/exchange-commands.ts";

export type WantedValue = HeadersFilter["headers"][string];

/**
 * `all`: every header that the filter names must fit; `any`: one of them. Null fits any value. Other values fit what is
 * of the same type and equal, so `1` is not `"1"`, and bytes fit null only.
 */
export function filterMatches(filter: HeadersFilter, headers: Headers): boolean {
  const fits = ([name, wanted]: [string, WantedValue]): boolean =>
    Object.hasOwn(headers, name) && (wanted === null || headers[name] === wanted);
  const wanted = Object.entries(filter.headers);
  return filter.match === "all" ? wanted.every(fits) : wanted.some(fits);
}

/** A short sentence for people: the first header that does not fit. */
export function explainFilter(
  filter: HeadersFilter,
  headers: Headers,
): { readonly matches: boolean; readonly why: string } {
  if (filterMatches(filter, headers)) return { matches: true, why: "the headers fit" };
  const misfits = Object.entries(filter.headers)
    .map(([name, wanted]) => misfit(name, wanted, headers))
    .filter((why) => why !== null);
  const first = misfits[0] ?? "the filter names no header";
  return {
    matches: false,
    why: misfits.length > 1 && filter.match === "any" ? `none fits; ${first}` : first,
  };
}

function misfit(name: string, wanted: WantedValue, headers: Headers): string | null {
  const called = `header ${shown(name)}`;
  if (!Object.hasOwn(headers, name)) return `${called}: is missing`;
  const value = headers[name]!;
  return wanted === null || value === wanted ? null : `${called}: is ${shown(value)}, not ${shown(wanted)}`;
}

const SHOWN_MAX = 60;

/** As in JSON, so that `1` and `"1"` look different. */
export function shown(value: HeaderValue): string {
  if (typeof value === "object") return `${value.length} bytes`;
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > SHOWN_MAX ? `${value.slice(0, SHOWN_MAX)}…` : value);
}

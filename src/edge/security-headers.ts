/**
 * What a browser is told about every answer. Bodies, header values and names are the clients', so no answer of the API is
 * ever a page: it runs nothing, is framed by nobody, and is not guessed to be anything else than it says.
 */
import { API_HEADERS, PAGE_HEADERS } from "../protocol/browser-headers.ts";
import { isUpgrade } from "./auth.ts";
import type { EdgeMiddleware } from "./services.ts";

export function secureHeaders(): EdgeMiddleware {
  return async (context, next) => {
    await next();
    // An answer that opens a socket must not be copied to change it, and no page ever sees it.
    if (isUpgrade(context.req.raw)) return;
    const { headers } = context.res;
    for (const [name, value] of API_HEADERS) if (!headers.has(name)) headers.set(name, value);
  };
}

/** One of the site's pages. The others pass the Worker by, and have the same from the site's own file of headers. */
export function asPage(page: Response): Response {
  const headers = new Headers(page.headers);
  for (const [name, value] of PAGE_HEADERS) headers.set(name, value);
  return new Response(page.body, { status: page.status, headers });
}

// Headers that tell a browser what it may do with an answer.

type Headers_ = readonly (readonly [name: string, value: string])[];

const ALWAYS: Headers_ = [
  ["X-Content-Type-Options", "nosniff"],
  ["Referrer-Policy", "no-referrer"],
];

/** Of the API's answers: nothing runs, nothing is loaded, nobody frames them. */
export const API_HEADERS: Headers_ = [
  ...ALWAYS,
  ["Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"],
];

/** Of the site's own pages: they load what the deployment serves and nothing else. Their styles are inline. */
export const PAGE_HEADERS: Headers_ = [
  ...ALWAYS,
  [
    "Content-Security-Policy",
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
];

// Text into XML 1.0, and no more of XML than answers need.

// `\r` is sent as a reference: a parser makes `\n` of a bare one, and the body's checksum breaks.
const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  "\r": "&#xD;",
};

/** What no XML 1.0 document may carry, not even as a reference. Halves of surrogate pairs are dealt with before. */
// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** Safe as an element's content whatever the text is; what XML cannot carry becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(FORBIDDEN, "\ufffd")
    .replace(/[&<>"'\r]/g, (character) => ESCAPES[character]!);
}

/** `content` is XML already. */
export function element(name: string, content: string): string {
  return content === "" ? `<${name}/>` : `<${name}>${content}</${name}>`;
}

export function textElement(name: string, text: string): string {
  return element(name, escapeXml(text));
}

// What the bench uses of qlobber, which brings no types.
declare module "qlobber" {
  interface Options {
    /** Whether `*` takes an empty word too, as ours does. */
    match_empty_levels?: boolean;
  }
  export class Qlobber<T> {
    constructor(options?: Options);
    add(pattern: string, value: T): this;
    /** A value that two patterns lead to may be there twice. */
    match(topic: string): T[];
  }
  export class QlobberDedup<T> {
    constructor(options?: Options);
    add(pattern: string, value: T): this;
    match(topic: string): Set<T>;
  }
}

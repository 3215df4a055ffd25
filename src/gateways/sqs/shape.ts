// The vocabulary of the table of shapes, and the types that follow from a shape. Nothing here knows a protocol: the
// names of the older one, Query, are data like the rest.
import type { SqsRefusal } from "./errors.ts";

export type Shape =
  | { readonly kind: "string" }
  /** 32 bits with a sign. */
  | { readonly kind: "integer" }
  /** What a double carries exactly, which is all that we ever send. */
  | { readonly kind: "long" }
  | { readonly kind: "boolean" }
  | { readonly kind: "blob" }
  | ListShape
  | MapShape
  | StructureShape;

export interface ListShape {
  readonly kind: "list";
  readonly item: Shape;
}

/** Query writes an entry as a pair of elements, `Name` or `Key` and `Value`. */
export interface MapShape {
  readonly kind: "map";
  readonly key: "Name" | "Key";
  readonly value: Shape;
}

export interface StructureShape {
  readonly kind: "structure";
  readonly members: Readonly<Record<string, Member>>;
}

export interface Member {
  readonly shape: Shape;
  readonly required: boolean;
  /** What Query calls the member, or each item of a list and each entry of a map. Null: as JSON does. */
  readonly query: string | null;
  /** What is said of a required member that is absent. Null: the usual refusal with the member's name. */
  readonly missing: SqsRefusal | null;
}

export const string = { kind: "string" } as const;
export const integer = { kind: "integer" } as const;
export const long = { kind: "long" } as const;
export const boolean = { kind: "boolean" } as const;
export const blob = { kind: "blob" } as const;

export function listOf<const I extends Shape>(item: I) {
  return { kind: "list", item } as const;
}

export function mapOf<const K extends MapShape["key"], const V extends Shape>(key: K, value: V) {
  return { kind: "map", key, value } as const;
}

export function structure<const M extends StructureShape["members"]>(members: M) {
  return { kind: "structure", members } as const;
}

export function required<const S extends Shape>(
  shape: S,
  query: string | null = null,
  missing: SqsRefusal | null = null,
) {
  return { shape, required: true, query, missing } as const;
}

export function optional<const S extends Shape>(shape: S, query: string | null = null) {
  return { shape, required: false, query, missing: null } as const;
}

/** What a value of a shape is in memory: absent members are absent, bytes are bytes, a map is a plain object. */
export type ValueOf<S> = S extends { readonly kind: "string" }
  ? string
  : S extends { readonly kind: "integer" | "long" }
    ? number
    : S extends { readonly kind: "boolean" }
      ? boolean
      : S extends { readonly kind: "blob" }
        ? Uint8Array
        : S extends { readonly kind: "list"; readonly item: infer I }
          ? readonly ValueOf<I>[]
          : S extends { readonly kind: "map"; readonly value: infer V }
            ? Readonly<Record<string, ValueOf<V>>>
            : S extends { readonly kind: "structure"; readonly members: infer M }
              ? StructureOf<M>
              : never;

type MemberValue<M> = M extends { readonly shape: infer S } ? ValueOf<S> : never;
type RequiredKey<M> = { [K in keyof M]: M[K] extends { readonly required: true } ? K : never }[keyof M];
type Flat<T> = { [K in keyof T]: T[K] };

type StructureOf<M> = Flat<
  { readonly [K in RequiredKey<M>]: MemberValue<M[K]> } & {
    readonly [K in Exclude<keyof M, RequiredKey<M>>]?: MemberValue<M[K]>;
  }
>;

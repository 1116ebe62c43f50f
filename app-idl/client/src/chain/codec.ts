/**
 * The program's interface, read from the file that is generated from the program. Everything that is written for the program or read from it goes
 * through here, so that a new field is either filled in or an error.
 */

import { fromBase58, Reader, toBase58, uint, utf8 } from "../bytes.js";
import { file } from "./interface.js";

export type Primitive = "bool" | "u8" | "u16" | "u32" | "u64" | "u128" | "i64" | "pubkey" | "string" | "bytes";
export type Type = Primitive | { array: [Type, number] } | { option: Type } | { vec: Type } | { defined: { name: string } };
export interface Field {
  name: string;
  type: Type;
}
interface TypeBody {
  kind: "struct" | "enum" | "type";
  fields?: Field[];
  variants?: { name: string }[];
  alias?: Type;
}
export interface AccountMeta {
  name: string;
  writable?: boolean;
  signer?: boolean;
  optional?: boolean;
  address?: string;
}
export interface Instruction {
  name: string;
  discriminator: number[];
  accounts: AccountMeta[];
  args: Field[];
}
interface Idl {
  address: string;
  instructions: Instruction[];
  accounts: { name: string; discriminator: number[] }[];
  errors: { code: number; name: string; msg: string }[];
  types: { name: string; type: TypeBody }[];
}

const idl = file as unknown as Idl;
/** The program's address. A deployment of its own has another: {@link Place.program}. */
export const PROGRAM = idl.address;

/** A value of the program: numbers up to 32 bits as `number`, larger ones as `bigint`, addresses in base58, `[u8; n]` as bytes. */
export type Value = number | bigint | boolean | string | null | Uint8Array | Value[] | { [name: string]: Value };
export type Struct = { [name: string]: Value };

/** Types that follow others in accounts' data, of which the file does not know. */
const layouts = new Map<string, TypeBody>();

/** Adds a type that the file lacks. */
export function declare(name: string, fields: Field[]): void {
  if (!idl.types.some((type) => type.name === name)) layouts.set(name, { kind: "struct", fields });
}

export function instruction(name: string): Instruction {
  const found = idl.instructions.find((one) => one.name === name);
  if (!found) throw new Error(`the program has no instruction ${name}`);
  return found;
}

/** Whether data is for the instruction `name`. */
export function startsWith(data: Uint8Array, name: string): boolean {
  return starts(data, instruction(name).discriminator);
}

/** The data of an instruction with these arguments. */
export function encodeInstruction(name: string, args: Struct): Uint8Array {
  const { discriminator, args: fields } = instruction(name);
  const bytes = [...discriminator];
  encodeFields(fields, args, bytes, name);
  return Uint8Array.from(bytes);
}

/** The instruction that data is for, with its arguments; `null` if the program has none of this discriminator. */
export function decodeInstruction(data: Uint8Array): { instruction: Instruction; args: Struct } | null {
  const found = idl.instructions.find(({ discriminator }) => starts(data, discriminator));
  if (!found) return null;
  const reader = new Reader(data.subarray(found.discriminator.length));
  const args = decodeFields(found.args, reader);
  if (reader.left > 0) throw new RangeError(`${found.name} has ${reader.left} bytes more than its arguments`);
  return { instruction: found, args };
}

/** The account of type `name` in `data`, and what follows it. */
export function decodeAccount(name: string, data: Uint8Array): { value: Struct; rest: Uint8Array } {
  const known = idl.accounts.find((account) => account.name === name);
  if (!known || !starts(data, known.discriminator)) throw new RangeError(`this is no account of type ${name}`);
  return decodeType(name, data.subarray(known.discriminator.length));
}

/** A value of type `name` at the front of `data`, and what follows it. */
export function decodeType(name: string, data: Uint8Array): { value: Struct; rest: Uint8Array } {
  const reader = new Reader(data);
  const value = decode({ defined: { name } }, reader) as Struct;
  return { value, rest: data.slice(data.length - reader.left) };
}

/** What the program means by an error's number. */
export function errorMessage(code: number): string | undefined {
  return idl.errors.find((error) => error.code === code)?.msg;
}

function bodyOf(name: string): TypeBody {
  const body = layouts.get(name) ?? idl.types.find((type) => type.name === name)?.type;
  if (!body) throw new Error(`the program has no type ${name}`);
  return body;
}

function starts(data: Uint8Array, with_: readonly number[]): boolean {
  return data.length >= with_.length && with_.every((byte, at) => data[at] === byte);
}

const WIDTH: { [type: string]: number } = { u8: 1, u16: 2, u32: 4, u64: 8, u128: 16, i64: 8 };

function encodeFields(fields: Field[], from: Struct, into: number[], where: string): void {
  for (const { name, type } of fields) {
    const value = from[name];
    if (value === undefined) throw new Error(`${where} needs a value for ${name}`);
    encode(type, value, into, `${where}.${name}`);
  }
  const extra = Object.keys(from).find((name) => !fields.some((field) => field.name === name));
  if (extra) throw new Error(`${where} has no ${extra}`);
}

function encode(type: Type, value: Value, into: number[], where: string): void {
  const wrong = () => new Error(`${where} is not of its type`);
  if (typeof type === "string") {
    const width = WIDTH[type];
    if (width) return integer(BigInt(value as bigint | number), type, width, into, where);
    if (type === "bool") {
      if (typeof value !== "boolean") throw wrong();
      return void into.push(value ? 1 : 0);
    }
    if (type === "string") {
      if (typeof value !== "string") throw wrong();
      const text = utf8(value);
      return void into.push(...uint(text.length, 4), ...text);
    }
    if (type !== "pubkey") throw wrong();
    const bytes = fromBase58(value as string, 32);
    if (!bytes) throw wrong();
    return void into.push(...bytes);
  }
  if ("array" in type) {
    const [element, length] = type.array;
    if (!(value instanceof Uint8Array || Array.isArray(value)) || value.length !== length) throw wrong();
    for (const one of value) encode(element, one, into, where);
    return;
  }
  if ("option" in type) {
    into.push(value === null ? 0 : 1);
    return value === null ? undefined : encode(type.option, value, into, where);
  }
  if (!("defined" in type)) throw wrong();
  const body = bodyOf(type.defined.name);
  if (body.kind === "type") return encode(body.alias!, value, into, where);
  if (body.kind !== "struct") throw wrong();
  encodeFields(body.fields!, value as Struct, into, where);
}

function integer(value: bigint, type: string, width: number, into: number[], where: string): void {
  const bits = 8 * width;
  const fits = type === "i64" ? BigInt.asIntN(64, value) === value : BigInt.asUintN(bits, value) === value;
  if (!fits) throw new RangeError(`${where}: ${value} is no ${type}`);
  into.push(...uint(BigInt.asUintN(bits, value), width));
}

function decodeFields(fields: Field[], from: Reader): Struct {
  const value: Struct = {};
  for (const field of fields) value[field.name] = decode(field.type, from);
  return value;
}

function decode(type: Type, from: Reader): Value {
  if (typeof type === "string") return decodePrimitive(type, from);
  if ("array" in type) {
    const [element, length] = type.array;
    if (element === "u8") return from.take(length);
    return Array.from({ length }, () => decode(element, from));
  }
  if ("option" in type) return decodeFlag(from) ? decode(type.option, from) : null;
  if ("vec" in type) return Array.from({ length: Number(from.big(4)) }, () => decode(type.vec, from));
  const body = bodyOf(type.defined.name);
  if (body.kind === "type") return decode(body.alias!, from);
  if (body.kind === "struct") return decodeFields(body.fields!, from);
  const variant = body.variants![Number(from.big(1))];
  if (!variant) throw new RangeError(`this is no ${type.defined.name}`);
  return variant.name;
}

/** One byte that is 0 or 1. The program takes no other. */
function decodeFlag(from: Reader): boolean {
  const byte = from.big(1);
  if (byte > 1n) throw new RangeError(`${byte} is neither true nor false`);
  return byte === 1n;
}

function decodePrimitive(type: Primitive, from: Reader): Value {
  switch (type) {
    case "bool":
      return decodeFlag(from);
    case "u8":
    case "u16":
    case "u32":
      return Number(from.big(WIDTH[type]!));
    case "u64":
    case "u128":
      return from.big(WIDTH[type]!);
    case "i64":
      return BigInt.asIntN(64, from.big(8));
    case "pubkey":
      return toBase58(from.take(32));
    case "string":
      return new TextDecoder("utf-8", { fatal: true }).decode(from.take(Number(from.big(4))));
    case "bytes":
      return from.take(Number(from.big(4)));
  }
}

/** The relayer's description of its API: OpenAPI 3.1, as `/openapi.json` has it. */

export interface Document {
  info: { title: string; version: string; description?: string };
  tags: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}
export interface Operation {
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: { description?: string; content: Record<string, { schema?: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
  security?: Record<string, unknown>[];
}
export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}
export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  items?: Schema | false;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  oneOf?: Schema[];
  allOf?: Schema[];
}

/** An operation, and how it is called. */
export interface Call {
  method: string;
  path: string;
  operation: Operation;
}

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
const SCHEMAS = "#/components/schemas/";

/** The operations of each tag, in the document's order; those without a known tag come last, without a title. */
export function byTag(document: Document): { title: string; description: string; calls: Call[] }[] {
  const calls = Object.entries(document.paths).flatMap(([path, operations]) =>
    METHODS.flatMap((method) => {
      const operation = operations[method];
      return operation ? [{ method: method.toUpperCase(), path, operation }] : [];
    }),
  );
  const known = new Set(document.tags.map(({ name }) => name));
  const tagOf = ({ operation }: Call) => operation.tags?.find((tag) => known.has(tag));
  const groups = document.tags.map(({ name, description = "" }) => ({ title: name, description, calls: calls.filter((call) => tagOf(call) === name) }));
  const others = { title: "", description: "", calls: calls.filter((call) => tagOf(call) === undefined) };
  return [...groups, others].filter((group) => group.calls.length > 0);
}

/** The name of the schema that `schema` stands for, if it stands for one. */
export function referenced(schema: Schema): string | null {
  return schema.$ref?.startsWith(SCHEMAS) ? schema.$ref.slice(SCHEMAS.length) : null;
}

/** What a value of this schema is, in a few words: types, and the names of schemas. */
export function kindOf(schema: Schema | boolean | undefined): string {
  if (schema === undefined || typeof schema === "boolean") return "anything";
  const name = referenced(schema);
  if (name) return name;
  const several = schema.oneOf ?? schema.allOf;
  if (several) return several.map(kindOf).join(schema.oneOf ? " or " : " and ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  const types = [schema.type ?? "anything"].flat();
  return types.map((type) => typed(type, schema)).join(" or ");
}

function typed(type: string, schema: Schema): string {
  if (type === "array") return `array of ${kindOf(schema.items || undefined)}`;
  if (type === "object" && typeof schema.additionalProperties === "object") return `object of ${kindOf(schema.additionalProperties)}`;
  return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
}

/** A member of an object. */
export interface MemberRow {
  name: string;
  kind: string;
  required: boolean;
  description: string;
  /** The names of schemas that it is made of. */
  parts: string[];
}

/** The members of objects of this schema: of all its parts, where it is made of several. */
export function members(schema: Schema, document: Document): MemberRow[] {
  const name = referenced(schema);
  const of = name ? document.components.schemas[name] : schema;
  if (!of) return [];
  const own = Object.entries(of.properties ?? {}).map(([member, value]) => ({
    name: member,
    kind: kindOf(value),
    required: of.required?.includes(member) ?? false,
    description: value.description ?? value.oneOf?.find(({ description }) => description)?.description ?? "",
    parts: parts(value),
  }));
  return [...own, ...(of.allOf ?? []).flatMap((part) => members(part, document))];
}

/** The names of the schemas that `schema` names, each once. */
export function parts(schema: Schema | boolean | undefined): string[] {
  if (schema === undefined || typeof schema === "boolean") return [];
  const name = referenced(schema);
  const below = [schema.items || undefined, schema.additionalProperties, ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return [...new Set([...(name ? [name] : []), ...below.flatMap(parts)])];
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { byTag, type Document, kindOf, members, parts } from "../src/openapi.js";

const answers = { 200: { description: "Well." } };
const described: Document = {
  info: { title: "t", version: "1" },
  tags: [{ name: "b", description: "The second." }, { name: "a" }, { name: "empty" }],
  paths: {
    "/x": { get: { tags: ["a"], responses: answers }, post: { tags: ["b"], responses: answers }, parameters: {} as never },
    "/y": { delete: { responses: answers } },
  },
  components: {
    schemas: {
      Tree: { type: "object", required: ["name"], properties: { name: { type: "string", description: "Its name." }, below: { type: "array", items: { $ref: "#/components/schemas/Tree" } } } },
      Named: { allOf: [{ $ref: "#/components/schemas/Tree" }, { type: "object", properties: { size: { type: ["integer", "null"], format: "int64" } } }] },
    },
  },
};

test("operations stand under their tags, in the document's order, and those without one come last", () => {
  const groups = byTag(described).map(({ title, calls }) => [title, calls.map(({ method, path }) => `${method} ${path}`)]);
  assert.deepEqual(groups, [["b", ["POST /x"]], ["a", ["GET /x"]], ["", ["DELETE /y"]]]);
});

test("what a value is stands in words", () => {
  const ref = { $ref: "#/components/schemas/Tree" };
  for (const [schema, words] of [
    [ref, "Tree"],
    [{ type: "array", items: ref }, "array of Tree"],
    [{ type: "object", additionalProperties: { type: "string" } }, "object of string"],
    [{ oneOf: [{ type: "null" }, ref] }, "null or Tree"],
    [{ type: ["integer", "null"], format: "int64" }, "integer (int64) or null"],
    [{ enum: ["auto", 1] }, '"auto" or 1'],
    [{ type: "array", items: false as const }, "array of anything"],
    [undefined, "anything"],
  ] as const) assert.equal(kindOf(schema as never), words);
});

test("the members of all parts are shown, and what they are made of is named", () => {
  const rows = members({ $ref: "#/components/schemas/Named" }, described);
  assert.deepEqual(rows.map(({ name, kind, required, parts }) => [name, kind, required, parts]), [
    ["name", "string", true, []],
    ["below", "array of Tree", false, ["Tree"]],
    ["size", "integer (int64) or null", false, []],
  ]);
  assert.deepEqual(parts({ oneOf: [{ $ref: "#/components/schemas/Tree" }, { type: "array", items: { $ref: "#/components/schemas/Tree" } }] }), ["Tree"]);
  assert.deepEqual(members({ $ref: "#/components/schemas/Unknown" }, described), []);
});

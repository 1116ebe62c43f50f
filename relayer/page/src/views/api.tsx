/** The API as the relayer describes it. */

import { useState } from "preact/hooks";
import { byTag, type Call, type Document, kindOf, members, parts, type Schema } from "../openapi.js";
import { ErrorNote, Lines } from "../parts.js";
import { useReading } from "../read.js";
import { openapi } from "../relayer.js";

/** How many schemas are opened within each other: some contain themselves. */
const DEEPEST = 6;

export function Api({ shown }: { shown: boolean }) {
  const { value: document, error, again } = useReading(openapi, [], { when: shown });
  return (
    <>
      <h1>API</h1>
      <p class="lead">
        Every path of this relayer, as <a href="/openapi.json">/openapi.json</a> describes it. A key goes into the header <code>Authorization: Bearer</code> or <code>x-api-key</code>. SDKs of OpenAI and Anthropic work as they are.
      </p>
      {!!error && <ErrorNote error={error}><button onClick={again}>Try again</button></ErrorNote>}
      {!document && !error && <p role="status">Reading the description …</p>}
      {document && byTag(document).map(({ title, description, calls }) => (
        <section key={title} class="card" aria-label={title || "Others"}>
          <h2>{title || "others"}</h2>
          {description && <p class="hint">{description}</p>}
          {calls.map((call) => <CallDetails key={`${call.method} ${call.path}`} call={call} document={document} />)}
        </section>
      ))}
    </>
  );
}

/** A text with code between backticks. */
function Prose({ text }: { text: string }) {
  return <>{text.split("`").map((part, place) => (place % 2 ? <code key={place}>{part}</code> : part))}</>;
}

function CallDetails({ call: { method, path, operation }, document }: { call: Call; document: Document }) {
  const [open, setOpen] = useState(false);
  return (
    <details data-testid="operation" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><code>{method} {path}</code></summary>
      <p><Prose text={operation.summary ?? ""} /></p>
      {open && (
        <>
          {operation.description && <p><Prose text={operation.description} /></p>}
          {operation.security && <p class="hint">With a key.</p>}
          {operation.parameters && (
            <>
              <h3>Parameters</h3>
              <Lines
                of={operation.parameters.map((parameter) => [
                  <Name name={parameter.name} kind={`${parameter.in}, ${kindOf(parameter.schema)}`} required={parameter.required ?? false} />,
                  <Prose text={parameter.description ?? ""} />,
                ])}
              />
            </>
          )}
          {operation.requestBody && <Contents title="Body" content={operation.requestBody.content} document={document} />}
          <h3>Answers</h3>
          <Lines of={Object.entries(operation.responses).map(([status, { description }]) => [<code>{status}</code>, <Prose text={description} />])} />
          {Object.entries(operation.responses).map(([status, { content }]) => content && <Contents key={status} title={`Answer ${status}`} content={content} document={document} />)}
        </>
      )}
    </details>
  );
}

function Contents({ title, content, document }: { title: string; content: Record<string, { schema?: Schema }>; document: Document }) {
  return (
    <>
      {Object.entries(content).map(([type, { schema }]) => (
        <details key={type}>
          <summary>{title}: {type}, {kindOf(schema)}</summary>
          {schema && <Members schema={schema} document={document} depth={0} />}
        </details>
      ))}
    </>
  );
}

function Members({ schema, document, depth }: { schema: Schema; document: Document; depth: number }) {
  const rows = members(schema, document);
  // What is no object itself shows the objects that it is made of.
  if (rows.length === 0) return <>{depth < DEEPEST && parts(schema).map((name) => <Named key={name} name={name} document={document} depth={depth + 1} />)}</>;
  return (
    <Lines
      of={rows.map(({ name, kind, required, description, parts }) => [
        <Name name={name} kind={kind} required={required} />,
        <>
          <Prose text={description} />
          {depth < DEEPEST && parts.map((part) => <Named key={part} name={part} document={document} depth={depth + 1} />)}
        </>,
      ])}
    />
  );
}

/** A schema by its name, read once it is opened. */
function Named({ name, document, depth }: { name: string; document: Document; depth: number }) {
  const [open, setOpen] = useState(false);
  const schema = document.components.schemas[name];
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{name}</summary>
      {schema?.description && <p class="hint"><Prose text={schema.description} /></p>}
      {open && schema && <Members schema={schema} document={document} depth={depth} />}
    </details>
  );
}

function Name({ name, kind, required }: { name: string; kind: string; required: boolean }) {
  return (
    <>
      <code>{name}</code>
      <span class="unit"> {kind}{required && ", required"}</span>
    </>
  );
}

import { useState } from "preact/hooks";
import { KeyError, SessionKey } from "../../../../app-idl/client/src/index.js";
import { TextField } from "../parts.js";
import { useSession } from "../session.js";

/** Takes a key that was made before. It stays in memory, in this tab. */
export function UseKey() {
  const { setKey } = useSession();
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const use = (event: Event) => {
    event.preventDefault();
    try {
      setKey(SessionKey.parse(text.trim()));
      setText("");
    } catch (error) {
      if (!(error instanceof KeyError)) throw error;
      setFault(`${error.message[0]!.toUpperCase()}${error.message.slice(1)}.`);
    }
  };
  return (
    <form class="card" onSubmit={use} aria-label="Use a key">
      <p>Make a key under <a href="#start">Start</a>, or use one that you have. It stays in this tab.</p>
      <TextField label="API key" type="password" value={text} error={fault} onInput={(value) => { setText(value); setFault(null); }} />
      <button type="submit" class="quiet">Use this key</button>
    </form>
  );
}

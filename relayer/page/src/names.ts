/** What a person calls their keys: kept in this browser alone, by the keys' addresses. The chain has no names, and the relayer is not told. */

const STORE = "steam-key-names";

function all(): { [key: string]: string } {
  try {
    const read: unknown = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    return typeof read === "object" && read !== null ? (read as { [key: string]: string }) : {};
  } catch {
    // This browser keeps nothing, or something else wrote it. Names are for the eye alone: there are none.
    return {};
  }
}

export function nameOf(key: string): string {
  const name = all()[key];
  return typeof name === "string" ? name : "";
}

/** An empty name forgets it. Throws where the browser keeps nothing for this page. */
export function setName(key: string, name: string): void {
  const { [key]: _, ...others } = all();
  localStorage.setItem(STORE, JSON.stringify(name ? { ...others, [key]: name } : others));
}

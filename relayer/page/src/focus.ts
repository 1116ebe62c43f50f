/** Where the keyboard is. A button that is pressed away takes the focus with it: without this it would be at the top of the document, and a screen reader silent. */

/** Elements that had the focus, the last one last, each with what it lay in. */
interface Place {
  element: HTMLElement;
  around: HTMLElement[];
}
/** Places that are remembered at most. */
const MOST = 10;
/** Pause after a change of the page, in which a part may take the focus itself. */
const SETTLED_MS = 150;
/** What has a name of its own, so that a screen reader says where one is. */
const NAMED = "section, form, details, li, fieldset";

/** Keeps the focus in the page from now on: it goes back to where it was before, or to what lay around it, or to the content. */
export function keepFocus(): () => void {
  let places: Place[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const entered = ({ target }: FocusEvent) => {
    if (!(target instanceof HTMLElement) || target === document.body) return;
    places = [...places.filter(({ element }) => element !== target), { element: target, around: ancestors(target) }].slice(-MOST);
  };
  // Whoever presses where nothing takes the focus wants it nowhere.
  const pressed = () => {
    const last = places.at(-1);
    if (isNowhere() && last && isUsable(last.element)) places = [];
  };
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (isNowhere() && places.length > 0 && !isUsable(places.at(-1)!.element)) focus(goal(places));
    }, SETTLED_MS);
  };
  const observer = new MutationObserver(changed);
  observer.observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["hidden", "disabled", "open"] });
  document.addEventListener("focusin", entered);
  document.addEventListener("click", pressed);
  return () => {
    clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("focusin", entered);
    document.removeEventListener("click", pressed);
  };
}

/** Focuses what need not be in the order of Tab. */
export function focus(element: HTMLElement | null): void {
  if (!element) return;
  if (element.tabIndex < 0 && !element.hasAttribute("tabindex")) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

/** The last place that is still there, or what of its surroundings is; the content, if that is all that is left. */
function goal(places: readonly Place[]): HTMLElement | null {
  const main = document.querySelector("main");
  for (const { element, around } of [...places].reverse()) {
    if (!around.includes(main!)) continue;
    if (isUsable(element)) return element;
    const left = around.find((one) => one.matches(NAMED) && isUsable(one));
    if (left) return left;
  }
  return main;
}

function ancestors(element: HTMLElement): HTMLElement[] {
  const found: HTMLElement[] = [];
  for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) found.push(at);
  return found;
}

function isNowhere(): boolean {
  return document.activeElement === null || document.activeElement === document.body;
}

function isUsable(element: HTMLElement): boolean {
  return element.isConnected && element.checkVisibility() && !element.matches(":disabled");
}

// What the elements share.

/** A new element with properties and children. */
export function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/**
 * An element that makes its own children with `build()`, and makes them anew when what it was told changes: Gradio edits elements in place, so
 * that one may get the attributes of the next result and lose its children.
 */
export class Built extends HTMLElement {
  connectedCallback() {
    if (this.isBuilt) return;
    this.isBuilt = true;
    this.build();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.isBuilt || before === after) return;
    clearTimeout(this.rebuilding);
    this.rebuilding = setTimeout(() => this.isConnected && this.build());
  }
}

/** The sentence in which the server says why it refused. */
export async function problem(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

/** Seconds in words. */
export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

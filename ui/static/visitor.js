// @ts-check
/* Who is calling, where the browser keeps no cookie: this page then keeps the visitor's name itself
   and sends it with every request. */
import { baseUrl } from "./api.js";
import { store } from "./store.js";

const STORED = "kinora-visitor";
const HEADER = "X-Kinora-Visitor";
const RETRY_MS = 2000;
const LONGEST_WAIT_MS = 5000;
const browserFetch = window.fetch.bind(window);

/** @param {number} ms */
const delay = (ms) => new Promise((done) => setTimeout(done, ms));

/** Reading or writing throws where a browser blocks all of a site's data. */
const session = {
  read() {
    try {
      return sessionStorage.getItem(STORED);
    } catch {
      return null;
    }
  },
  /** @param {string} name */
  write(name) {
    try {
      sessionStorage.setItem(STORED, name);
      return true;
    } catch {
      return false;
    }
  },
};

/** Finds out whether the cookie comes back: the first answer offers it, the second shows it. */
async function identify() {
  let name = session.read();
  store.visitor.value = { hasCookie: true, survivesReload: true, name };
  for (let answers = 0; answers < 2; ) {
    try {
      const headers = name ? { [HEADER]: name } : undefined;
      const response = await browserFetch(`${baseUrl()}/visitor`, {
        headers,
        credentials: "same-origin",
        cache: "no-store",
      });
      if (!response.ok) return; // refused: the requests that matter will show why
      const { kept, visitor } = await response.json();
      if (kept) return;
      name = visitor;
      store.visitor.value = { ...store.visitor.peek(), name };
      answers += 1;
    } catch {
      await delay(RETRY_MS); // the server is starting, or away
    }
  }
  const survivesReload = name !== null && session.write(name);
  store.visitor.value = { hasCookie: false, survivesReload, name };
}

/** From here on every request to this origin carries the name, where there is no cookie. */
export function startIdentification() {
  const soon = Promise.race([identify(), delay(LONGEST_WAIT_MS)]);

  // Gradio's own requests carry the name too: a press of Generate is one of them. What leaves for
  // another origin never does.
  window.fetch = async (input, init) => {
    const sent = input instanceof Request ? input : null;
    const address = new URL(sent?.url ?? String(input), location.href);
    if (address.origin !== location.origin) return browserFetch(input, init);
    await soon;
    const { name } = store.visitor.peek();
    if (!name) return browserFetch(input, init);
    const headers = new Headers(init?.headers ?? sent?.headers);
    headers.set(HEADER, name);
    return browserFetch(input, { ...init, headers });
  };

  window.addEventListener("beforeunload", (event) => {
    const { hasCookie, survivesReload } = store.visitor.peek();
    if (store.clips.peek().size && !hasCookie && !survivesReload) event.preventDefault();
  });
}

/**
 * Shows a picture or clip that was uploaded. These have no signed address: without a cookie they are
 * fetched.
 * @param {HTMLImageElement | HTMLVideoElement} element
 * @param {string} id
 */
export async function showUpload(element, id) {
  element.dataset.upload = id;
  const address = `${baseUrl()}/pictures/${id}`;
  if (!store.visitor.peek().name) {
    element.src = address;
    return;
  }
  const blob = await (await fetch(address)).blob();
  if (element.dataset.upload === id) element.src = URL.createObjectURL(blob);
}

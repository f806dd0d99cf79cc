/* Who is asking, where the browser keeps no cookie: this page then keeps the visitor's name itself
   and sends it with every request, and says beforehand what that means for the clips. */
import { kinora } from "./core.js";

const { el, base } = kinora;
const STORED = "kinora-visitor", HEADER = "X-Kinora-Visitor";
const RETRY_MS = 2000, PATIENCE_MS = 5000;
const browserFetch = window.fetch.bind(window);
const framed = window.self !== window.top;

// Reading or writing throws where a browser blocks all of a site's data.
const tab = {
  read: () => { try { return sessionStorage.getItem(STORED); } catch { return null; } },
  keep: (name) => { try { sessionStorage.setItem(STORED, name); return true; } catch { return false; } },
};
const visitor = {
  kept: true, // whether the browser keeps the cookie; what most do, until the server has said
  stays: true, // whether a reload of this tab finds the clips again
  name: tab.read(), // what is sent; null where the cookie says it
};

const ask = async () => {
  for (let answers = 0; answers < 2; ) {
    try {
      const headers = visitor.name ? { [HEADER]: visitor.name } : {};
      const response = await browserFetch(`${base()}/visitor`, { headers, credentials: "same-origin", cache: "no-store" });
      if (!response.ok) return; // refused: the requests that matter will say why
      const { kept, visitor: name } = await response.json();
      visitor.kept = kept;
      if (kept) return;
      visitor.name = name;
      answers += 1; // the first one offered the cookie; the second shows whether it was taken
    } catch {
      await new Promise((done) => setTimeout(done, RETRY_MS)); // the server is starting, or away
    }
  }
  visitor.stays = tab.keep(visitor.name);
};
const known = ask();
const soon = Promise.race([known, new Promise((done) => setTimeout(done, PATIENCE_MS))]);

// Gradio's own requests carry the name too: a press of Generate is one of them. What leaves for
// another origin never does.
window.fetch = async (input, init) => {
  const address = new URL(input?.url ?? input, location.href);
  if (address.origin !== location.origin) return browserFetch(input, init);
  await soon;
  if (!visitor.name) return browserFetch(input, init);
  const headers = new Headers(init?.headers ?? input?.headers);
  headers.set(HEADER, visitor.name);
  return browserFetch(input, { ...init, headers });
};

/** Pictures and clips that were given have no signed address: without a cookie they are fetched. */
kinora.showGiven = async (element, id) => {
  element.dataset.given = id;
  const address = `${base()}/pictures/${id}`;
  if (!visitor.name) {
    element.src = address;
    return;
  }
  const blob = await (await fetch(address)).blob();
  if (element.dataset.given === id) element.src = URL.createObjectURL(blob);
};

/** What someone should know before the first press; nothing where the cookie is kept. */
kinora.cookieNotice = () => {
  const notice = el("p.k-cookieless", { role: "note", hidden: true });
  known.then(() => {
    if (visitor.kept) return;
    const until = visitor.stays ? "until this tab is closed" : "only until this page is closed or reloaded";
    const way = framed
      ? el("a", { href: `${location.origin}${location.pathname}`, target: "_blank", rel: "noopener" }, "Open Kinora in its own tab")
      : null;
    notice.append(
      `Your browser blocks cookies ${framed ? "in this frame" : "for this site"}, so your clips stay here ${until}. `,
      ...(way ? [way, " or allow cookies to keep them."] : ["Allow cookies to keep them."]));
    notice.hidden = false;
  });
  return notice;
};

let made = false;
kinora.on("job", () => (made = true));
window.addEventListener("beforeunload", (event) => {
  if (made && !visitor.kept && !visitor.stays) event.preventDefault();
});

kinora.visitor = visitor;

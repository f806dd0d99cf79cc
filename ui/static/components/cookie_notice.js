// @ts-check
/* What someone should know before the first press where the browser keeps no cookie. */
import { html, useSignal } from "../html.js";
import { store } from "../store.js";

export function CookieNotice() {
  const { hasCookie, survivesReload } = useSignal(store.visitor);
  if (hasCookie) return html`<p class="k-cookieless" role="note" hidden></p>`;
  const isFramed = window.self !== window.top;
  const place = isFramed
    ? "Your browser blocks cookies in this frame."
    : "Your browser blocks cookies for this site.";
  const until = survivesReload
    ? "So your clips stay here until this tab is closed."
    : "So your clips stay here only until this page is closed or reloaded.";
  const page = `${location.origin}${location.pathname}`;
  return html`
    <p class="k-cookieless" role="note">
      ${`${place} ${until} `}
      ${
        isFramed
          ? html`<a href=${page} target="_blank" rel="noopener">Open Kinora in its own tab</a>
              ${" or allow cookies to keep them."}`
          : "Allow cookies to keep them."
      }
    </p>
  `;
}

/* The line under the stage: what is happening, then what can be done with the clip, and the
   settings that made it. */
(() => {
  "use strict";
  const { el, icon, url } = kinora;

  const MOST_FETCHED = 100e6; // bytes; browsers put a Blob of that size on the disk, not all in memory

  class Bar {
    constructor(element, act) {
      this.act = act;
      this.line = el("p.k-line");
      this.verbs = el("div.k-verbs", { role: "group", "aria-label": "This clip" });
      this.used = el("div.k-used", { hidden: true });
      this.surprises = el("div.k-surprises");
      element.append(el("div.k-bar", {}, this.line, this.verbs), this.surprises, this.used);
    }

    say(text) {
      if (this.line.textContent !== text) this.line.textContent = text;
    }

    show(view) {
      this.say(view?.line ?? "");
      const told = view?.surprises ?? [];
      if (this.told !== told.join()) this.surprises.replaceChildren(...told.map((s) => el("p.k-note", {}, s)));
      this.told = told.join();
      const made = view?.state === "succeeded" ? view.id : null;
      if (this.made === made) return;
      this.made = made;
      this.used.hidden = true;
      this.verbs.replaceChildren(...(made ? this.buttons(view).filter(Boolean) : []));
    }

    buttons(view) {
      const verb = (name, text, title, onclick, extra = {}) =>
        el("button.k-verb", { type: "button", title, onclick, ...extra }, icon(name), text);
      const settings = verb("list", "Settings", "What made this clip", () => {
        this.used.hidden = !this.used.hidden;
        settings.setAttribute("aria-expanded", String(!this.used.hidden));
        if (!this.used.hidden) this.fill(view);
      }, { "aria-expanded": "false" });
      return [
        this.download(view),
        verb("again", "Again", "Same settings, same seed: the same clip", () => this.act("again", view)),
        verb("dice", "Another seed", "Same settings, another chance", () => this.act("another", view)),
        kinora.hasTab("i2v") && verb("onward", "Continue", "Start the next clip from this one's last frame", () => this.act("onward", view)),
        settings,
      ];
    }

    /** In another site's frame, a browser leaves that frame's cookies out of a download, ours and
        those by which the Hub's proxy knows who may see a private Space. So what fits into memory is
        fetched as everything else on the page is; the rest the browser fetches by itself, from an
        address that needs no cookie here. */
    download(view) {
      const address = url(view, "clip", "download");
      const word = el("span", {}, "Download");
      const link = el("a.k-verb", { href: address, download: "", title: "Save the file" }, icon("down"), word);
      link.addEventListener("click", async (event) => {
        if (window.self === window.top || view.size_bytes > MOST_FETCHED) return;
        event.preventDefault();
        word.textContent = "Downloading…";
        try {
          const blob = await (await kinora.send(`/jobs/${view.id}/clip?download`)).blob();
          const href = URL.createObjectURL(blob);
          el("a", { href, download: `kinora-${view.id.slice(0, 8)}.${view.format}` }).click();
          setTimeout(() => URL.revokeObjectURL(href), 60000);
        } catch (error) {
          const shown = error.shown ?? { message: "The clip could not be downloaded.", remedy: "Try again." };
          kinora.tell("trouble", { task: view.task, shown });
        } finally {
          word.textContent = "Download";
        }
      });
      return link;
    }

    fill(view) {
      const rows = [];
      const add = (name, value) =>
        rows.push(el("div.k-row", {}, el("dt", {}, name), el("dd", {}, String(value))));
      for (const [label, value] of view.settings) add(label, value);
      const copy = el("button.k-verb", {
        type: "button",
        onclick: async () => {
          const text = JSON.stringify(view.used, null, 2);
          try {
            await navigator.clipboard.writeText(text);
            label.textContent = "Copied";
          } catch {
            getSelection().selectAllChildren(list);
            label.textContent = "Selected: copy it now";
          }
          setTimeout(() => (label.textContent = "Copy"), 2000);
        },
      });
      const label = el("span", {}, "Copy");
      copy.append(icon("copy"), label);
      const list = el("dl.k-settings", {}, ...rows);
      const changes = view.adjustments.map((sentence) => el("p.k-note", {}, sentence));
      this.used.replaceChildren(
        list,
        ...changes,
        el("div.k-used-verbs", {}, copy,
          el("button.k-verb", { type: "button", onclick: () => this.act("restore", view) }, icon("again"), "Use these settings")),
      );
    }
  }

  kinora.Bar = Bar;
})();

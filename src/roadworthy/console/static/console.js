// Refreshes the live part of a page in place. Pauses while the page is hidden, keeps what the reader opened.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const every = Number(live.dataset.refresh);
  let last = "";
  let wait = every;

  const isInUse = () => {
    const selection = document.getSelection();
    return live.contains(document.activeElement) || (selection && !selection.isCollapsed);
  };

  const refresh = async () => {
    try {
      const answer = await fetch(location.href, { headers: { "x-fragment": "1" }, redirect: "manual" });
      if (answer.status === 401 || answer.type === "opaqueredirect") return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      wait = every;
      live.classList.remove("stale");
      if (text === last || isInUse()) return;
      const opened = [...live.querySelectorAll("details[open][id]")].map((one) => one.id);
      live.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
      for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
      last = text;
    } catch {
      live.classList.add("stale");
      wait = Math.min(wait * 2, 30000);
    }
  };

  const loop = async () => {
    if (!document.hidden) await refresh();
    setTimeout(loop, wait);
  };
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  setTimeout(loop, wait);
})();

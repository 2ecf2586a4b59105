// What all pages share: it remembers the colours, and copies code. Pages work without it.
(() => {
  const root = document.documentElement;
  const read = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* it lasts as long as the page */ } };
  const kept = read();
  // Before the first paint, so that nothing flashes.
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;

  // And what asks for passkeys is there from the start where there can be any.
  if (window.PublicKeyCredential) root.dataset.passkeys = "";

  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  const onReady = () => {
    const button = document.getElementById("theme");
    if (button) {
      const show = () => button.setAttribute("aria-pressed", String(isDark()));
      button.hidden = false;
      show();
      button.addEventListener("click", () => {
        root.dataset.theme = isDark() ? "light" : "dark";
        keep(root.dataset.theme);
        show();
      });
    }
    for (const block of document.querySelectorAll(".code")) {
      const code = block.querySelector("code");
      if (!code || !navigator.clipboard) continue;
      const copy = document.createElement("button");
      copy.type = "button";
      copy.className = "copy";
      copy.textContent = "Copy";
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
        setTimeout(() => { copy.textContent = "Copy"; }, 1500);
      });
      block.append(copy);
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", onReady);
  else onReady();
})();

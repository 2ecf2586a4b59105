// A key that is shown once is copied by a button.
(() => {
  for (const button of document.querySelectorAll("[data-keys-copy]")) {
    const from = document.getElementById(button.dataset.keysCopy);
    if (!from || !navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();

// An invoice is printed by a button.
(() => {
  for (const button of document.querySelectorAll("[data-credits-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
})();

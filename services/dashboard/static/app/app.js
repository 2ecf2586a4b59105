// What all pages behind the door share. Each works without it.
(() => {
  // A row of links that is wider than the page begins where the reader is.
  const row = (here) => {
    const { parentElement: row, offsetLeft, offsetWidth } = here;
    row.scrollLeft = offsetLeft - row.offsetLeft - (row.clientWidth - offsetWidth) / 2;
  };
  const onReady = () => document.querySelectorAll("nav > a[aria-current]").forEach(row);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", onReady);
  else onReady();

  // What cannot be undone is asked for once more.
  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.ask ?? event.target.dataset.ask;
    if (asked && !window.confirm(asked)) event.preventDefault();
  });
})();

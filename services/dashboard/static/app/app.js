// What all pages behind the door share. Each works without it.
(() => {
  // A row of links that is wider than the page begins where the reader is.
  for (const here of document.querySelectorAll("nav > a[aria-current]")) {
    const { parentElement: row, offsetLeft, offsetWidth } = here;
    row.scrollLeft = offsetLeft - row.offsetLeft - (row.clientWidth - offsetWidth) / 2;
  }

  // What cannot be undone is asked for once more.
  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.ask ?? event.target.dataset.ask;
    if (asked && !window.confirm(asked)) event.preventDefault();
  });
})();

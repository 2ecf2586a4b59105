// What all pages behind the door share. Each works without it.
(() => {
  // What cannot be undone is asked for once more.
  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.ask ?? event.target.dataset.ask;
    if (asked && !window.confirm(asked)) event.preventDefault();
  });
})();

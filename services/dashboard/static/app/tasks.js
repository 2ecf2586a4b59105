// A page that follows what it shows, of a task or of a delivery: it asks how that stands, and puts what has changed in the place of
// what was there. Without it there is a link to look again.
(() => {
  const root = document.querySelector("[data-follow]");
  if (!root) return;
  const patience = 5000;
  const rounds = 600;
  let version = Number(root.dataset.version ?? 0);
  const pause = (time) => new Promise((done) => { setTimeout(done, time); });

  const put = (name, html) => {
    const place = root.querySelector(`[data-part="${name}"]`);
    if (!place) return;
    const made = document.createElement("template");
    made.innerHTML = html;
    // What plays goes on playing, and what has the focus keeps it, as long as it is the same.
    if (made.innerHTML === place.innerHTML) return;
    place.replaceChildren(made.content);
  };

  const follow = async () => {
    for (let round = 0; round < rounds; round += 1) {
      let again = patience;
      try {
        const answer = await fetch(`${root.dataset.follow}?after=${version}`, { headers: { accept: "application/json" } });
        const kind = answer.headers.get("content-type") ?? "";
        // Signed out, or gone: the next look at the page says so.
        if (answer.status < 500 && !(answer.ok && kind.startsWith("application/json"))) return;
        if (answer.ok) {
          const told = await answer.json();
          version = told.version;
          for (const [name, html] of Object.entries(told.parts)) put(name, html);
          if (told.again == null) return;
          again = told.again;
        }
      } catch { /* the network comes back */ }
      await pause(again);
    }
  };
  follow();
})();

// The playground: a request made of the form, its price as the form changes, what comes of it in place. Without it the form says the price.
(() => {
  const root = document.getElementById("playground");
  if (!root || root.dataset.may !== "true") return;
  const { model, route, shape } = root.dataset;
  const isChat = shape === "chat";
  const $ = (id) => document.getElementById(id);
  const [form, run, stop, clear] = ["form", "run", "stop", "clear"].map($);
  const [price, afford, problem] = ["price", "afford", "error"].map($);
  const [status, progress, output, facts, cost] = ["status", "progress", "output", "facts", "cost"].map($);
  const prompt = $("prompt");
  const { Told, element, plural, amount, credits, seconds, size, call, send, refusal, events, pre, figure } = playgroundApi;

  // --- the form

  const control = (field) => field.querySelector("textarea, select, input:not([type=hidden], [type=file])");
  const outer = () => [...form.querySelectorAll("[data-param]")].filter((field) => !field.closest(".pg-item"));
  const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

  /** What a field adds to a request; undefined: nothing, so that the default holds. */
  const valueOf = (field) => {
    const { kind, param, default: usual } = field.dataset;
    if (kind === "items") {
      const rows = [...field.querySelectorAll(":scope > .pg-rows > .pg-item")];
      return rows.length ? rows.map((row) => gather(row.querySelectorAll("[data-param]"))) : undefined;
    }
    const own = control(field);
    const text = own.value;
    if (kind === "switch") return String(own.checked) === usual ? undefined : own.checked;
    if (text.trim() === "" || text === usual) return undefined;
    switch (kind) {
      case "number": return Number.isFinite(Number(text)) ? Number(text) : text;
      case "file": return text.trim();
      case "files": return lines(text);
      case "inputs": return lines(text).length === 1 ? lines(text)[0] : lines(text);
      case "json":
        try {
          return JSON.parse(text);
        } catch (error) {
          throw new Told(`This is not JSON: ${error.message}`, { param });
        }
      case "chat": case "system": return undefined;
      default: return text;
    }
  };
  const gather = (fields) => {
    const body = {};
    for (const field of fields) {
      const value = valueOf(field);
      if (value !== undefined) body[field.dataset.param.split("[].").at(-1)] = value;
    }
    return body;
  };

  let talk = [];
  const request = () => {
    const body = { model, ...gather(outer()) };
    if (!isChat) return body;
    const system = $("system").value.trim();
    const said = prompt.value.trim();
    body.messages = [
      ...(system ? [{ role: "system", content: system }] : []),
      ...talk,
      ...(said || !talk.length ? [{ role: "user", content: said }] : []),
    ];
    if (body.stream) body.stream_options = { include_usage: true };
    return body;
  };

  /** The field that a path of the API is about: `input_urls[2]`, `dialogue[0].text`. */
  const fieldOf = (param) => {
    if (isChat && param.startsWith("messages")) return prompt.closest("[data-param]");
    const inner = /^([^[]+)\[(\d+)\]\.(.+)$/.exec(param);
    const list = (inner?.[1] ?? param).replace(/\[.*$/, "");
    const found = outer().find((field) => field.dataset.param === list);
    if (!found || !inner) return found;
    const row = found.querySelectorAll(":scope > .pg-rows > .pg-item")[Number(inner[2])];
    const name = inner[3].replace(/\[.*$/, "");
    return row?.querySelector(`[data-param="${CSS.escape(`${list}[].${name}`)}"]`) ?? found;
  };
  const mark = (field, message) => {
    const told = field.querySelector(":scope > .wrong");
    told.textContent = message;
    told.hidden = false;
    control(field)?.setAttribute("aria-invalid", "true");
    const folded = field.closest("details");
    if (folded) folded.open = true;
  };
  const unmark = (field) => {
    const told = field.querySelector(":scope > .wrong");
    if (told) told.hidden = true;
    control(field)?.removeAttribute("aria-invalid");
  };
  const fresh = () => {
    form.querySelectorAll("[data-param]").forEach(unmark);
    problem.hidden = true;
  };

  const SANDBOX = "In test mode the sandbox answers, without a provider.";
  const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);
  /** Says what went wrong: at its field if it has one. */
  const fail = (error) => {
    const violations = error.violations?.length ? error.violations : [{ param: error.param ?? "", message: error.message }];
    const rest = [];
    let first = null;
    for (const { param, message } of violations) {
      const field = param && fieldOf(param);
      if (field) {
        mark(field, message);
        first ??= control(field);
      } else {
        rest.push(message);
      }
    }
    first?.focus();
    if (error.code === "no_provider") rest.push(SANDBOX);
    problem.replaceChildren(rest.map(sentence).join(" "));
    if (error.status === 402) problem.append(" ", element("a", { href: "/credits" }, "Credits"));
    problem.hidden = rest.length === 0;
    status.textContent = "It did not run.";
  };

  // --- price and code

  let pricing = null;
  const isBlank = () => [...form.elements].some((one) => one.required && !one.value.trim());
  const quote = async () => {
    pricing?.abort();
    // What is not there yet would be refused: the page's own price stands.
    if (isBlank()) return;
    const mine = (pricing = new AbortController());
    try {
      const response = await send("/quote", { route, body: request() }, mine.signal);
      if (!response.ok) throw await refusal(response);
      const { data } = await response.json();
      const [expected, most] = [data.expected_microcredits, data.max_microcredits];
      price.textContent = expected === most ? credits(most) : `about ${amount(expected)}, at most ${credits(most)}`;
      afford.replaceChildren(...(data.affordable ? [] : ["More than the balance has. ", element("a", { href: "/credits" }, "Credits")]));
    } catch (error) {
      if (mine.signal.aborted) return;
      price.textContent = "–";
      const first = error.violations?.[0]?.message ?? error.message;
      // What was just said of a run needs not be said twice.
      afford.textContent = !problem.hidden ? "" : error.code === "no_provider" ? `${sentence(first)} ${SANDBOX}` : first;
    }
  };
  let coded = "";
  const code = async () => {
    let body;
    try {
      body = request();
    } catch {
      return;
    }
    const text = JSON.stringify(body);
    if (text === coded) return;
    coded = text;
    const response = await fetch("/playground/code", { method: "POST", body: new URLSearchParams({ model, body: text }) });
    if (!response.ok || response.redirected || coded !== text) return;
    for (const { language, code } of await response.json()) {
      const shown = document.querySelector(`code[data-language="${language}"]`);
      if (shown) shown.textContent = code;
    }
  };
  let waiting = 0;
  const changed = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { quote(); code().catch(() => {}); }, 350);
  };

  // --- results

  let running = null;
  const fact = (name, ...said) => {
    const row = facts.querySelector(`[data-fact="${name}"]`);
    row.hidden = said.length === 0;
    row.querySelector("dd").replaceChildren(...said);
  };
  const begin = (text) => {
    fresh();
    facts.hidden = true;
    cost.textContent = "–";
    ["tokens", "first", "took", "provider", "links"].forEach((name) => fact(name));
    status.textContent = text;
    run.disabled = true;
    stop.hidden = false;
    stop.disabled = false;
    root.setAttribute("aria-busy", "true");
  };
  const end = () => {
    run.disabled = false;
    stop.hidden = true;
    progress.hidden = true;
    root.removeAttribute("aria-busy");
    running = null;
    changed();
  };
  /** An id of a request leads to its receipt, and to its task, which has the same one. */
  const links = (operation, isTask) => {
    const rest = operation.slice(operation.indexOf("_"));
    const receipt = element("a", { href: `/requests/op${rest}` }, "Receipt");
    if (!isTask) return fact("links", receipt);
    const said = [element("a", { href: `/tasks/task${rest}` }, "Task"), " · ", receipt];
    if (model === "suno") said.push(" · ", element("a", { href: `/playground/suno-extend?origin_task_id=task${rest}&extend_audio_index=0` }, "Go on from it"));
    fact("links", ...said);
  };

  const pause = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));
  const STAGES = { text: "the words are there", first: "the first song is there", complete: "complete" };
  const show = (task) => {
    const ahead = task.queue_position ? `, ${plural(String(task.queue_position), "job")} before it` : "";
    const stage = STAGES[task.stage] ? `: ${STAGES[task.stage]}` : "";
    const told = { queued: `Queued${ahead}.`, processing: `Being made${stage}${task.progress ? `, ${task.progress} %` : ""}.` }[task.status];
    if (told && told !== status.textContent) status.textContent = told;
    progress.hidden = false;
    if (typeof task.progress === "number") progress.value = task.progress;
    else progress.removeAttribute("value");
  };
  const hasEnded = (task) => task?.status === "completed" || task?.status === "failed";
  const look = async (id) => {
    const response = await call(`/tasks/${id}`);
    if (!response.ok) throw await refusal(response);
    return (await response.json()).data;
  };
  /** Follows a task until it has ended; where its events break off, looks in their place. */
  const follow = async (id) => {
    for (let task = null; ;) {
      try {
        const response = await call(`/tasks/${id}/events`);
        if (!response.ok) throw await refusal(response);
        for await (const data of events(response)) {
          task = JSON.parse(data);
          show(task);
        }
      } catch (error) {
        if (error.status === 404) throw error;
      }
      if (hasEnded(task)) return task;
      await pause(1500);
      task = await look(id).catch(() => task);
      if (hasEnded(task)) return task;
    }
  };
  const finish = async (task) => {
    facts.hidden = false;
    cost.textContent = credits(task.consumed_microcredits);
    fact("took", seconds(Date.parse(task.completed_at) - Date.parse(task.created_at)));
    links(task.task_id, true);
    if (task.status === "failed") {
      status.textContent = task.error?.code === "cancelled" ? "Cancelled." : `Failed: ${task.error?.message ?? "no reason is known."}`;
      return;
    }
    const about = prompt?.value.slice(0, 120) || model;
    output.replaceChildren(...(await Promise.all(task.output.map((file) => figure(file, about)))));
    status.textContent = "Done.";
  };

  const runTask = async () => {
    const body = request();
    const began = performance.now();
    output.replaceChildren();
    progress.removeAttribute("value");
    progress.hidden = false;
    const response = await send(`/${route}`, body, running.leave.signal);
    if (!response.ok) throw await refusal(response);
    const kind = response.headers.get("content-type") ?? "";
    const operation = response.headers.get("x-aio-operation-id");
    if (!kind.startsWith("application/json")) {
      // The thing itself, and no task to follow: a sound, or a transcript in a form that was asked for.
      const file = await response.blob();
      const link = URL.createObjectURL(file);
      output.replaceChildren(kind.startsWith("audio/")
        ? element("figure", {}, element("audio", { src: link, controls: "", "aria-label": "Speech" }), element("figcaption", { class: "soft" }, `${kind} · ${size(file.size)}`))
        : pre(await file.text()));
    } else {
      const answer = await response.json();
      running.task = answer.data?.task_id ?? answer.data?.taskId;
      if (running.task) return finish(await follow(running.task));
      output.replaceChildren(pre(answer.text ?? answer.data?.text ?? JSON.stringify(answer, null, 2)));
    }
    fact("took", seconds(performance.now() - began));
    facts.hidden = false;
    status.textContent = "Done.";
    if (!operation) return;
    links(operation, true);
    cost.textContent = credits((await look(operation.replace(/^op_/, "task_"))).consumed_microcredits);
  };

  const runEmbedding = async () => {
    const began = performance.now();
    const response = await send(`/${route}`, request(), running.leave.signal);
    if (!response.ok) throw await refusal(response);
    const answer = await response.json();
    const rows = answer.data.map(({ embedding, index }) =>
      element("figure", {}, element("b", {}, `${index + 1}: ${embedding.length} numbers`), pre(`[${embedding.slice(0, 8).map((number) => number.toFixed(5)).join(", ")}, …]`)));
    output.replaceChildren(...rows);
    status.textContent = "Done.";
    account(response, answer.usage, answer.credits_consumed, performance.now() - began);
  };
  /** What something cost that does not say so itself, once its receipt is there: a moment behind the charge. */
  const receipt = async (operation) => {
    for (let wait = 1000; wait < 10_000; wait *= 2) {
      await pause(wait);
      const response = await call(`/operations/${operation}/receipt`);
      if (response.ok) return cost.replaceChildren(credits((await response.json()).data.charged_microcredits));
    }
  };
  /** What an answer that came at once cost. */
  const account = (response, usage, consumed, took) => {
    facts.hidden = false;
    const told = consumed ?? response.headers.get("x-aio-cost-credits");
    if (told !== undefined && told !== null) cost.textContent = credits(Math.round(Number(told) * 1e6));
    if (usage) fact("tokens", `${usage.prompt_tokens ?? 0}, ${usage.completion_tokens ?? 0}`);
    fact("took", seconds(took));
    const [provider, operation] = ["x-aio-provider", "x-aio-operation-id"].map((name) => response.headers.get(name));
    if (provider) fact("provider", provider);
    if (!operation) return;
    links(operation, false);
    if (cost.textContent === "–") receipt(operation).catch(() => {});
  };

  // --- conversation

  const bubble = (who, said) => {
    const words = element("div", { class: "pg-words" }, said);
    output.append(element("div", { class: `pg-said pg-${who}` }, element("b", {}, who === "user" ? "You" : "Model"), words));
    output.scrollTop = output.scrollHeight;
    return words;
  };
  /** Adds what an event, or a whole answer, says of tools that are to be called. */
  const collect = (calls, more = []) => {
    more.forEach((part, place) => {
      const own = (calls[part.index ?? place] ??= { name: "", arguments: "" });
      own.name += part.function?.name ?? "";
      own.arguments += part.function?.arguments ?? "";
    });
  };
  const runChat = async () => {
    const body = request();
    const asked = prompt.value.trim();
    if (!asked) throw new Told("Write a message first.", { param: "messages" });
    bubble("user", asked);
    prompt.value = "";
    const words = bubble("assistant", "");
    const calls = [];
    const began = performance.now();
    let [said, usage, consumed, first, response] = ["", null, null, null, null];
    const hear = (part) => {
      const choice = part.choices?.[0];
      const more = choice?.delta ?? choice?.message;
      if (more?.content || more?.tool_calls) first ??= performance.now() - began;
      said += more?.content ?? "";
      collect(calls, more?.tool_calls ?? []);
      words.textContent = said + calls.map(({ name, arguments: given }) => `\n→ ${name}(${given})`).join("");
      usage = part.usage ?? usage;
      consumed = part.credits_consumed ?? consumed;
      output.scrollTop = output.scrollHeight;
    };
    try {
      response = await send(`/${route}`, body, running.leave.signal);
      if (!response.ok) throw await refusal(response);
      if ((response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
        for await (const data of events(response)) {
          // To the end: who leaves before it looks like somebody who stops it.
          if (data === "[DONE]") continue;
          const part = JSON.parse(data);
          if (part.error) throw new Told(part.error.message, part.error);
          hear(part);
        }
      } else {
        hear(await response.json());
      }
      status.textContent = "Done.";
    } catch (error) {
      if (!words.textContent) {
        // Nothing came: as if it had not been asked.
        words.parentElement.previousElementSibling.remove();
        words.parentElement.remove();
        prompt.value = asked;
        if (!running.leave.signal.aborted) throw error;
      } else if (!running.leave.signal.aborted) {
        fail(error);
      }
      status.textContent = running.leave.signal.aborted ? "Stopped. What had come is charged." : "It broke off.";
    }
    if (words.textContent) {
      talk.push({ role: "user", content: asked }, { role: "assistant", content: words.textContent });
      clear.hidden = false;
    }
    if (response?.ok) {
      account(response, usage, consumed, performance.now() - began);
      if (first !== null) fact("first", seconds(first));
    }
  };

  const start = async () => {
    if (running) return;
    running = { leave: new AbortController(), task: null };
    begin(isChat ? "Answering…" : "Sent…");
    try {
      await { chat: runChat, embedding: runEmbedding, task: runTask }[shape]();
    } catch (error) {
      if (running.leave.signal.aborted) status.textContent = "Stopped.";
      else fail(error);
    }
    end();
    if (isChat) prompt.focus();
  };
  const halt = async () => {
    if (!running) return;
    if (!running.task) return running.leave.abort();
    stop.disabled = true;
    const response = await call(`/tasks/${running.task}/cancel`, { method: "POST" });
    stop.disabled = false;
    if (!response.ok) status.textContent = (await refusal(response)).message;
  };

  // --- files and lists

  const upload = async (picker) => {
    const field = picker.closest("[data-param]");
    const own = control(field);
    unmark(field);
    picker.disabled = true;
    try {
      for (const file of picker.files) {
        status.textContent = `Uploading ${file.name}…`;
        const parts = new FormData();
        parts.append("purpose", "user_data");
        parts.append("file", file);
        const response = await call("/files", { method: "POST", body: parts });
        if (!response.ok) throw await refusal(response);
        const { id } = await response.json();
        const before = picker.multiple ? lines(own.value).filter((line) => !line.startsWith("https://example.com/")) : [];
        own.value = [...before, id].join("\n");
        status.textContent = `${file.name} is uploaded.`;
      }
    } catch (error) {
      mark(field, error.message);
    }
    picker.value = "";
    picker.disabled = false;
    changed();
  };
  let rows = 0;
  const addRow = (list) => {
    const row = list.querySelector("template").content.cloneNode(true);
    rows += 1;
    for (const name of ["id", "for", "aria-describedby"]) {
      for (const one of row.querySelectorAll(`[${name}]`)) {
        one.setAttribute(name, one.getAttribute(name).split(" ").map((id) => `${id}-${rows}`).join(" "));
      }
    }
    row.querySelectorAll("[hidden]:not(.wrong)").forEach((one) => { one.hidden = false; });
    list.querySelector(".pg-rows").append(row);
    list.querySelector(".pg-rows > :last-child :is(textarea, input, select)").focus();
  };
  const room = () => form.querySelectorAll(".pg-items").forEach((list) => {
    list.querySelector(":scope > .pg-add").disabled = list.querySelectorAll(":scope > .pg-rows > .pg-item").length >= Number(list.dataset.most);
  });

  form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
  form.addEventListener("input", (event) => {
    const field = event.target.closest("[data-param]");
    if (field) unmark(field);
    if (event.target.type !== "file") changed();
  });
  form.addEventListener("change", (event) => { if (event.target.matches(".pg-upload") && event.target.files.length) upload(event.target); });
  form.addEventListener("focusin", changed, { once: true });
  form.addEventListener("click", (event) => {
    const list = event.target.closest(".pg-items");
    if (event.target.matches(".pg-add")) addRow(list);
    else if (event.target.matches(".pg-drop")) event.target.closest(".pg-item").remove();
    else return;
    room();
    changed();
  });
  form.addEventListener("keydown", (event) => {
    const sends = isChat && event.target === prompt ? !event.shiftKey : event.ctrlKey || event.metaKey;
    if (event.key !== "Enter" || event.isComposing || !sends) return;
    event.preventDefault();
    start();
  });
  stop.addEventListener("click", halt);
  clear.addEventListener("click", () => {
    talk = [];
    output.replaceChildren();
    facts.hidden = true;
    clear.hidden = true;
    status.textContent = "";
    prompt.focus();
  });
  run.hidden = false;
  form.querySelectorAll(".pg-upload, .pg-add, .pg-drop").forEach((one) => { one.hidden = false; });
  room();
  code().catch(() => {});
  // Whether anybody serves the model for money is worth knowing before anything is written.
  if (root.dataset.mode === "live") changed();
})();

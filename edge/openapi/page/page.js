// Shows /openapi.json. All text of the document is set as text, never as HTML.

const $ = (id) => document.getElementById(id);

// el makes an element: attributes, then children, which may be texts; what is null is left out.
function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes ?? {})) {
    if (k === "onclick") e.addEventListener("click", v);
    else if (v !== undefined && v !== null) e.setAttribute(k, v);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return e;
}

// prose turns `code` between backquotes into elements.
const prose = (text) => (text ?? "").split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));

let doc;

const follow = (x) => (x?.$ref ? x.$ref.slice(2).split("/").reduce((at, name) => at[name], doc) : x);
const nameOf = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

// typeOf writes a schema's type in a line; what has a name links to it.
function typeOf(s) {
  if (!s) return "anything";
  if (s.$ref) return el("a", { href: "#schema-" + nameOf(s.$ref) }, nameOf(s.$ref));
  if (s.anyOf) return el("span", {}, s.anyOf.flatMap((x, i) => (i ? [" or ", typeOf(x)] : [typeOf(x)])));
  if (s.enum) return s.enum.join(" | ");
  const types = [s.type ?? []].flat();
  if (types.length === 0) return "anything";
  const more = types.includes("null") ? " or null" : "";
  if (types[0] === "array") return el("span", {}, "list of ", typeOf(s.items), more);
  if (types[0] === "object" && s.additionalProperties) return el("span", {}, "map of ", typeOf(s.additionalProperties), more);
  return types[0] + (s.format ? " (" + s.format + ")" : s.contentEncoding ? " (" + s.contentEncoding + ")" : "") + more;
}

// table lists fields: those that must be given first. The roles are said since the style for phones takes tables apart.
function table(rows, caption) {
  rows.sort((a, b) => Number(b.must) - Number(a.must));
  const told = rows.some((r) => r.text);
  const row = (role, cells) => el("tr", { role: "row" }, cells.map((c) => el(role === "cell" ? "td" : "th", { role, scope: role === "cell" ? null : "col" }, c)));
  return el("table", { role: "table" }, el("caption", {}, caption),
    el("thead", { role: "rowgroup" }, row("columnheader", ["Name", "Type", ...(told ? ["What it is"] : [])])),
    el("tbody", { role: "rowgroup" }, rows.map((r) => row("cell", [
      [el("code", {}, r.name), r.must ? el("span", { class: "must" }, " required") : null, r.where ? el("div", { class: "quiet" }, r.where) : null],
      typeOf(r.schema), ...(told ? [prose(r.text)] : [])]))));
}

const fieldsOf = (s) => Object.entries(s.properties ?? {}).map(([name, f]) => ({ name, schema: f, text: f.description, must: s.required?.includes(name) ?? false }));

// example makes a value of a schema; depth ends what contains itself.
function example(s, depth = 0) {
  s = follow(s);
  if (!s || depth > 5) return null;
  if (s.examples) return s.examples[0];
  if (s.enum) return s.enum[0];
  if (s.anyOf) return example(s.anyOf[0], depth);
  switch ([s.type].flat()[0]) {
    case "object": return Object.fromEntries(Object.entries(s.properties ?? {}).map(([k, v]) => [k, example(v, depth + 1)]));
    case "array": return [example(s.items, depth + 1)];
    case "integer": case "number": return 1;
    case "boolean": return true;
    case "string": return s.format === "date-time" ? "2026-05-01T12:00:00Z" : s.contentEncoding ? "aWNu" : "text";
  }
  return null;
}

const quote = (s) => "'" + s.replaceAll("'", "'\\''") + "'";

function curl(path, method, op) {
  const query = new URLSearchParams();
  for (const p of (op.parameters ?? []).map(follow)) {
    if (p.in === "path") path = path.replace("{" + p.name + "}", encodeURIComponent(p.example ?? example(p.schema)));
    if (p.in === "query" && p.required) query.set(p.name, p.example ?? example(p.schema));
  }
  const q = query.toString();
  const parts = ["curl" + (op["x-icn-kind"] === "stream" ? " -N" : "")];
  if (method !== "get") parts.push("-X " + method.toUpperCase());
  if (op.security.length) parts.push('-H "Authorization: Bearer $TOKEN"');
  if (op["x-icn-write"]) parts.push('-H "Idempotency-Key: $(uuidgen)"');
  const body = op.requestBody?.content["application/json"];
  if (body) parts.push("-H 'Content-Type: application/json'", "-d " + quote(JSON.stringify(body.example ?? {})));
  parts.push(quote(location.origin + doc.servers[0].url + path + (q && "?" + q)));
  return parts.join(" \\\n  ");
}

function copyable(text) {
  const button = el("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(pre); // without a clipboard, e.g. over plain HTTP
      button.textContent = "Selected: press Ctrl+C";
    }
  } }, "Copy");
  const pre = el("pre", { tabindex: "0" }, text);
  return el("div", {}, button, pre);
}

// operation shows one; its body is made when it is first opened.
function operation(path, method, op) {
  const box = el("details", { id: op.operationId },
    el("summary", {}, el("span", { class: "method" + (op["x-icn-write"] ? " write" : "") }, method.toUpperCase()), el("code", {}, path), el("span", {}, op.summary)));
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(body(path, method, op)); });
  box.words = [op.operationId, path, method, op.summary, op["x-icn-scope"], op["x-icn-cli"]].join(" ").toLowerCase();
  return box;
}

function body(path, method, op) {
  const out = el("div", { class: "body" }, el("p", {}, el("a", { href: "#" + op.operationId }, op.operationId), ". ", prose(op.description)));
  const parameters = (op.parameters ?? []).map(follow);
  if (parameters.length) out.append(table(parameters.map((p) => ({ name: p.name, schema: p.schema, text: p.description, must: p.required ?? false, where: "in the " + p.in })), "Parameters"));
  const sent = op.requestBody?.content["application/json"].schema;
  if (sent) out.append(table(fieldsOf(follow(sent)), "Body, application/json"));
  const answers = Object.entries(op.responses["200"].content);
  const [type, answer] = answers.find(([, a]) => a.schema) ?? answers[0]; // a file has none
  out.append(el("h3", {}, op["x-icn-kind"] === "stream" ? "Each item" : "Answer"), el("p", { class: "quiet" }, op.responses["200"].description + " " + type + ": ", typeOf(answer.schema)));
  const fields = fieldsOf(follow(answer.schema));
  if (fields.length) out.append(table(fields.map((f) => ({ ...f, must: false })), "Fields of the answer"), el("details", {}, el("summary", {}, "Shape of an answer"), el("pre", { tabindex: "0" }, JSON.stringify(example(answer.schema), null, 2))));
  out.append(el("h3", {}, "Try it"), copyable(curl(path, method, op)));
  const failures = Object.entries(op.responses).filter(([status]) => status !== "200");
  out.append(el("details", {}, el("summary", {}, "Errors"), el("ul", {}, failures.map(([status, r]) => el("li", {}, el("code", {}, status), " ", follow(r).description)))));
  return out;
}

function schema(name, s) {
  const fields = fieldsOf(s);
  const box = el("details", { id: "schema-" + name }, el("summary", {}, el("code", {}, name)),
    el("div", { class: "body" }, s.description ? el("p", {}, prose(s.description)) : null,
      fields.length ? table(fields, "Fields") : el("p", {}, typeOf(s), s.pattern ? el("span", {}, ", as ", el("code", {}, s.pattern)) : null)));
  box.words = name.toLowerCase();
  return box;
}

// reveal opens what the address names.
function reveal() {
  const at = $(decodeURIComponent(location.hash.slice(1)));
  if (at?.tagName !== "DETAILS") return;
  if (at.hidden) { $("search").value = ""; search(); }
  at.open = true;
  at.scrollIntoView();
}

function search() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const box of document.querySelectorAll("#operations > section > details, #schemas > details")) {
    box.hidden = !words.every((w) => box.words.includes(w));
    if (!box.hidden && box.parentElement.id !== "schemas") found++;
  }
  for (const section of document.querySelectorAll("#operations > section")) {
    section.hidden = !section.querySelector(":scope > details:not([hidden])");
    $(section.getAttribute("aria-labelledby").replace("tag-", "to-")).hidden = section.hidden;
  }
  $("about").hidden = words.length > 0; // what is looked for comes first
  $("count").textContent = found === 1 ? "1 operation" : found + " operations";
}

async function show() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error("/openapi.json: " + answer.status);
  doc = await answer.json();
  document.title = doc.info.title + ": interface";
  $("title").textContent = doc.info.title + ", version " + doc.info.version;
  $("about").replaceChildren(...doc.info.description.split("\n\n").map((p) => el("p", {}, prose(p))),
    el("p", {}, "Operations stand below ", el("code", {}, doc.servers[0].url), "; the document itself is ", el("a", { href: "/openapi.json" }, "/openapi.json"), "."));
  const groups = new Map(doc.tags.map((t) => [t.name, []]));
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(methods)) groups.get(op.tags[0]).push([op.operationId, operation(path, method, op)]);
  }
  $("operations").replaceChildren(...[...groups].map(([name, ops]) => el("section", { "aria-labelledby": "tag-" + name },
    el("h2", { id: "tag-" + name }, name), ops.sort((a, b) => (a[0] < b[0] ? -1 : 1)).map((o) => o[1]))));
  $("tags").replaceChildren(el("ul", {}, [...groups.keys()].map((name) => el("li", { id: "to-" + name }, el("a", { href: "#tag-" + name }, name)))));
  $("schemas").replaceChildren(...Object.entries(doc.components.schemas).map(([name, s]) => schema(name, s)));
  $("search").addEventListener("input", search);
  addEventListener("hashchange", reveal);
  search();
  reveal();
}

show().catch((error) => $("operations").replaceChildren(el("p", { role: "alert" }, "The document cannot be shown: " + error.message)));

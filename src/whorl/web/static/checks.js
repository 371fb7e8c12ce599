/** The panels that check an entry's proof, or the log's tree head, when a reader asks for it. */

import { CheckError } from "./merkle.js";
import { knowsEd25519, parseJson, parsePolicy } from "./proofs.js";
import { checkReceipt, checkTreeHead } from "./receipts.js";

const MOST_BYTES = 1 << 23;
const LABELS = { held: "holds", failed: "fails", open: "not checked", against: "against it" };

const stepList = document.getElementById("steps");
const verdict = document.getElementById("verdict");

function tell({ title, result, detail }) {
  const line = document.createElement("li");
  line.className = result === "against" ? "failed" : result;
  const label = document.createElement("span");
  label.className = "result";
  label.textContent = LABELS[result];
  const words = document.createElement("div");
  for (const [className, text] of [["title", title], ["detail", detail]]) {
    const paragraph = document.createElement("p");
    paragraph.className = className;
    paragraph.textContent = text;
    words.append(paragraph);
  }
  line.append(label, words);
  stepList.append(line);
}

function conclude(kind, text) {
  verdict.className = `verdict-line ${kind}`;
  verdict.textContent = text;
}

function concludeFrom(counts, subject) {
  const all = counts.held + counts.failed + counts.open + counts.against;
  if (counts.failed > 0) {
    conclude("failed", `Does not hold: ${counts.failed} of ${all} steps failed. Do not rely on ${subject}.`);
  } else if (counts.against > 0) {
    conclude("failed", `It is in the log as it stands here, and something speaks against it.`);
  } else if (counts.open > 0) {
    conclude("open", `Nothing failed; ${counts.open} of ${all} steps were not checked.`);
  } else conclude("held", `All ${all} steps hold, by their Ed25519 signatures.`);
}

async function fetched(address) {
  const answer = await fetch(address, { headers: { Accept: "*/*" }, cache: "no-store" });
  if (!answer.ok) throw new CheckError(`${address} answers ${answer.status}`);
  const data = new Uint8Array(await answer.arrayBuffer());
  if (data.length > MOST_BYTES) throw new CheckError(`${address} is larger than any honest answer`);
  return data;
}

const textOf = (data) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
const fetchedText = async (address) => textOf(await fetched(address));
const fetchTile = (path) => fetched(`/log/${path}`);

/** What this browser lacks for a check, in words; null if it lacks nothing. */
async function lacking() {
  if (globalThis.crypto?.subtle === undefined) {
    return "This browser gives cryptography only to pages over https, or from this machine itself. Nothing was checked.";
  }
  if (!(await knowsEd25519())) return "This browser does not know Ed25519 signatures. Nothing was checked.";
  return null;
}

async function check(form, work) {
  stepList.replaceChildren();
  conclude("", "Checking …");
  const button = form.querySelector("button");
  button.setAttribute("aria-disabled", "true");
  try {
    const missing = await lacking();
    if (missing === null) await work();
    else conclude("open", `${missing} Use the commands on this page.`);
  } catch (error) {
    const known = error instanceof CheckError;
    conclude("failed", `The check could not be done: ${known ? error.message : "an answer was not of the form it should have"}.`);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

function begin(form, work) {
  let running = null;
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    running ??= check(form, work).finally(() => {
      running = null;
    });
  });
}

const entryForm = document.getElementById("check-form");
if (entryForm !== null) {
  const { entry } = entryForm.dataset;
  const file = document.getElementById("policy-file");
  begin(entryForm, async () => {
    const own = file.files[0];
    const policy = await parsePolicy(own ? textOf(new Uint8Array(await own.arrayBuffer())) : await fetchedText("/log/policy"));
    const receipt = parseJson(await fetchedText(`/api/entries/${entry}/receipt`));
    const present = await fetchedText("/log/checkpoint").catch(() => null);
    const { counts, payload } = await checkReceipt(receipt, { entry, policy, present, fetchTile, tell });
    concludeFrom(counts, "this entry");
    if (payload !== null) showPayload(payload);
  });
}

/** Put what was proven in the place of what the service told. */
function showPayload(payload) {
  const place = document.getElementById("statement-text");
  if (place === null) return;
  place.textContent = JSON.stringify(JSON.parse(textOf(payload)), null, 1).replace(HIDDEN, written);
  document.getElementById("says-source").textContent = "Made from the bytes that were checked just now.";
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
const written = (letter) => (letter === "\n" ? letter : `\\u{${letter.codePointAt(0).toString(16)}}`);

const headForm = document.getElementById("head-form");
if (headForm !== null) {
  const key = `whorl tree head of ${headForm.dataset.origin}`;
  begin(headForm, async () => {
    const policy = await parsePolicy(await fetchedText("/log/policy"));
    const present = await fetchedText("/log/checkpoint");
    const { counts, head } = await checkTreeHead(present, { policy, seen: remembered(key), fetchTile, tell });
    concludeFrom(counts, "this log");
    if (counts.failed === 0 && head !== null) remember(key, present);
  });
}

function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // the browser keeps nothing for pages
  }
}

function remember(key, note) {
  try {
    localStorage.setItem(key, note);
  } catch {
    // the next visit is the first one again
  }
}

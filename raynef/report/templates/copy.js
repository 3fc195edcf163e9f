"use strict";
// Commands are copied by a button.

async function copyText(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    // Where the page has no clipboard: what is selected can be copied by hand.
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copyText(button.parentElement.querySelector("code"));
    button.textContent = done ? "Copied" : "Selected: copy it";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

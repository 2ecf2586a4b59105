// Passkeys: somebody adds one to a device, and comes in by it and nothing else; what the device has signed once opens nothing again; a copy
// of the device is refused; and what was removed is good for nothing.
import { BASE, equal, sure, tell, wanted } from "./house.mjs";
import { goTo, signUp } from "./door.mjs";

/** Where the same pages are by a number, for which no browser keeps a passkey. */
const NUMBER = wanted("AIO_NUMBER");

/** Gives a browser a device that keeps passkeys and knows who holds it. */
async function device(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2",
    transport: "internal",
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", { options });
  return { session, authenticatorId };
}

/** Puts a copy in the place of the device's passkey, from before it had signed anything. */
async function copy({ session, authenticatorId }) {
  const { credentials } = await session.send("WebAuthn.getCredentials", { authenticatorId });
  equal(credentials.length, 1, "passkeys of the device");
  const [credential] = credentials;
  sure(credential.signCount > 0, "the device counts");
  await session.send("WebAuthn.removeCredential", { authenticatorId, credentialId: credential.credentialId });
  await session.send("WebAuthn.addCredential", { authenticatorId, credential: { ...credential, signCount: 0 } });
}

async function signOut(page) {
  await page.locator("details.me summary").click();
  await page.locator("details.me").getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(`${BASE}/`);
  await page.goto(`${BASE}/sign-in`);
}

/** Presses the button, and gives what was sent. */
async function press(page) {
  const sent = page.waitForRequest((request) => new URL(request.url()).pathname === "/sign-in/passkey");
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  return sent;
}

/** The browser says itself that something was refused, which is what is wanted. */
function expect(house, status) {
  house.problems = house.problems.filter((problem) => !problem.includes(`status of ${status}`));
}

/** Comes to nothing, and says why. */
async function refused(house, page, why) {
  await press(page);
  await page.getByRole("alert").filter({ hasText: why }).waitFor();
  expect(house, 401);
  await house.barriers(page);
}

await tell(async (house) => {
  const page = await house.visitor();
  const own = await device(page);
  page.on("dialog", (dialog) => dialog.accept());
  await house.does("sign up", () => signUp(page, "Keeper"));
  await house.does("add a passkey", async () => {
    await goTo(page, "Settings");
    await house.barriers(page);
    await page.getByLabel("Name of a new one").fill("Her laptop");
    const add = async (password) => {
      await page.locator("#passkey-password").fill(password);
      await page.getByRole("button", { name: "Add a passkey" }).click();
    };
    await add("not her password at all");
    await page.getByText("This is not your password.").waitFor();
    expect(house, 400);
    await add(wanted("AIO_PASSWORD"));
    await page.getByText("The passkey is added.").waitFor();
    await page.getByRole("row", { name: /Her laptop .* never/ }).waitFor();
    await house.barriers(page);
  });
  await house.does("come in by it, once for each time it signs", async () => {
    await signOut(page);
    await house.barriers(page);
    const sent = await press(page);
    await page.waitForURL("**/home");
    const { cookie } = await sent.allHeaders();
    const headers = { cookie, origin: BASE, "content-type": "application/x-www-form-urlencoded" };
    const again = await fetch(sent.url(), { method: "POST", redirect: "manual", headers, body: sent.postData() });
    equal(again.status, 410, "what the same is answered once more");
  });
  await house.does("a copy of the device is refused", async () => {
    await signOut(page);
    await copy(own);
    await refused(house, page, "may have been copied");
  });
  await house.does("remove it", async () => {
    await page.getByLabel("E-mail", { exact: true }).fill("keeper@example.com");
    await page.getByLabel("Password", { exact: true }).fill(wanted("AIO_PASSWORD"));
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.waitForURL("**/home");
    await goTo(page, "Settings");
    const row = page.getByRole("row", { name: /Her laptop/ });
    sure(!(await row.innerText()).includes("never"), "it was used");
    await row.getByRole("button", { name: "Remove" }).click();
    await page.getByText("The passkey is removed.").waitFor();
    equal(await row.count(), 0, "rows of what was removed");
    await signOut(page);
    await refused(house, page, "may have been removed");
  });
  await house.does("at an address without a name, the page says where to go", async () => {
    house.origins.push(NUMBER);
    await page.goto(`${NUMBER}/sign-in`);
    const link = page.getByRole("link", { name: BASE });
    await link.waitFor();
    equal(await page.getByRole("button", { name: "Sign in with a passkey" }).count(), 0, "buttons that do nothing");
    await link.click();
    await page.waitForURL(`${BASE}/sign-in`);
  });
});

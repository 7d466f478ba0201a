(function () {
	var data = document.currentScript.dataset, form = document.getElementById(data.form);
	var options = JSON.parse(data.options), create = data.form === "create", busy = false;
	function bytes(text) {
		var raw = atob(text.replace(/-/g, "+").replace(/_/g, "/")), out = new Uint8Array(raw.length);
		for (var i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
		return out;
	}
	function text(buffer) {
		var raw = "", all = new Uint8Array(buffer);
		for (var i = 0; i < all.length; i++) raw += String.fromCharCode(all[i]);
		return btoa(raw).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
	}
	function decode(list) {
		(list || []).forEach(function (c) { c.id = bytes(c.id); });
	}
	function encode(c) {
		var r = c.response, out = { id: c.id, rawId: text(c.rawId), type: c.type, response: { clientDataJSON: text(r.clientDataJSON) } };
		if (c.authenticatorAttachment) out.authenticatorAttachment = c.authenticatorAttachment;
		if (create) {
			out.response.attestationObject = text(r.attestationObject);
			if (r.getTransports) out.response.transports = r.getTransports();
		} else {
			out.response.authenticatorData = text(r.authenticatorData);
			out.response.signature = text(r.signature);
			if (r.userHandle) out.response.userHandle = text(r.userHandle);
		}
		return JSON.stringify(out);
	}
	function problem(shown) { document.getElementById("problem").hidden = !shown; }
	options.challenge = bytes(options.challenge);
	if (create) options.user.id = bytes(options.user.id);
	decode(options.allowCredentials);
	decode(options.excludeCredentials);
	form.addEventListener("submit", function (event) {
		event.preventDefault();
		if (busy) return;
		if (!navigator.credentials) return problem(true);
		busy = true;
		problem(false);
		navigator.credentials[create ? "create" : "get"]({ publicKey: options }).then(function (c) {
			form.elements.credential.value = encode(c);
			HTMLFormElement.prototype.submit.call(form);
		}).catch(function () {
			busy = false;
			problem(true);
		});
	});
})();

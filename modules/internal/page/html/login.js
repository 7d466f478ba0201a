(function () {
	var hash = location.hash, key = document.currentScript.dataset.key;
	if (hash.length < 2) return;
	document.querySelectorAll("form").forEach(function (form) {
		form.setAttribute("action", form.getAttribute("action") + hash);
	});
	if (!key) return;
	try { sessionStorage.setItem(key, hash); } catch (e) { return; }
	document.querySelectorAll(".providers a").forEach(function (link) {
		link.setAttribute("href", link.getAttribute("href") + "&hash=1");
	});
})();

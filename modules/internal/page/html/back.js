(function () {
	var data = document.currentScript.dataset, hash = "";
	try {
		hash = sessionStorage.getItem(data.key) || "";
		sessionStorage.removeItem(data.key);
	} catch (e) {}
	location.replace(data.to + (hash.charAt(0) === "#" ? hash : ""));
})();

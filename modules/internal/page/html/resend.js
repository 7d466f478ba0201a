(function () {
	var form = document.getElementById(document.currentScript.dataset.form);
	HTMLFormElement.prototype.submit.call(form);
})();

"""Keys and certificates of the local cluster, and the kubeconfigs that hold them."""

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.shell import run

USERS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
}


@dataclass(frozen=True)
class Authority:
    """Signs everything of one cluster.

    Attributes:
        folder: where keys and certificates lie, each under the name of its owner.
        cluster: the cluster's name.
        server: URL of its API server.
    """

    folder: Path
    cluster: str
    server: str

    def establish(self, addresses: list[str]) -> None:
        """Makes all anew: its own, the API server's for its addresses, those of users."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "openssl.conf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        self._sign(
            "ca",
            "/CN=kubernetes",
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign",
        )
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        alternatives = [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses]
        self.sign("apiserver", "/CN=kube-apiserver", alternatives)
        self.sign("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self.sign("front-proxy", "/CN=front-proxy-client")
        private, public = str(self.folder / "sa.key"), str(self.folder / "sa.pub")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private)
        run("openssl", "ec", "-in", private, "-pubout", "-out", public)
        for user, subject in USERS.items():
            self.sign(user, subject)
            self.write_kubeconfig(user, self.folder / f"{user}.conf")

    def sign(self, name: str, subject: str, alternatives: list[str] | None = None) -> None:
        """Makes a key and its certificate for a server or a client."""
        extensions = ["keyUsage=digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
        if alternatives:
            extensions.append(f"subjectAltName={','.join(alternatives)}")
        self._sign(name, subject, *extensions, by=["-CA", "ca.crt", "-CAkey", "ca.key"])

    def write_kubeconfig(self, user: str, path: Path) -> None:
        """Writes what a user needs to reach the cluster."""
        authority = {"server": self.server, "certificate-authority-data": self._data("ca.crt")}
        credentials = {
            "client-certificate-data": self._data(f"{user}.crt"),
            "client-key-data": self._data(f"{user}.key"),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": self.cluster,
            "contexts": [{"name": self.cluster, "context": {"cluster": self.cluster, "user": user}}],
            "clusters": [{"name": self.cluster, "cluster": authority}],
            "users": [{"name": user, "user": credentials}],
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document))

    def _data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def _sign(self, name: str, subject: str, *extensions: str, by: list[str] | None = None) -> None:
        """Makes a key and its certificate, signed by itself unless `by` says otherwise."""
        added = [argument for extension in extensions for argument in ("-addext", extension)]
        run(
            "openssl", "req", "-x509", "-config", "openssl.conf", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", f"{name}.key", "-out", f"{name}.crt",
            "-days", "365", "-subj", subject, *added, *(by or []), cwd=self.folder,
        )  # fmt: skip

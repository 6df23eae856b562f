# shellcheck shell=bash
# Sourced. A private apt for one Debian suite: packages are downloaded and unpacked under .cache, nothing is installed.
# It never touches /etc/apt, dpkg's state or its lock. The mirror is the one that this machine's own apt uses.

# The suite that the stand-ins and the compose plugin come from: the newest stable one, whatever this machine runs. A package that is only in another
# one is had with `debian_suite=… debian_packages …`.
debian_suite=trixie
debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg

# Prints the mirror of this machine's own suite.
debian_mirror() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -v suite="$codename" '$1 == suite && $2 == "main" { print $3; found = 1; exit } END { exit !found }'
}

# Where the private world of the suite is.
debian_folder() { echo "$cache/debian/$debian_suite"; }

private_apt() {
    local debian
    debian=$(debian_folder)
    # Hooks of the machine's own configuration (cleaning, caches) are not for this private world.
    apt-get -q -o Dir::Etc::sourcelist="$debian/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State="$debian/state" -o Dir::State::status="$debian/status" -o Dir::State::lists="$debian/lists" \
        -o Dir::Cache="$debian/cache" -o Dir::Cache::archives="$debian/archives" \
        -o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success= -o DPkg::Post-Invoke= \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

debian_prepare() {
    local debian
    debian=$(debian_folder)
    if compgen -G "$debian/lists/*_Packages*" >/dev/null; then return; fi
    local mirror
    have apt-get && have dpkg-deb || die "stand-ins are made of Debian packages, and this machine has no apt-get and dpkg-deb"
    [ -s "$debian_keys" ] || die "$debian_keys is missing: apt-get install debian-archive-keyring"
    mirror=$(debian_mirror) || die "this machine's apt sources name no mirror of its own Debian suite"
    say "reading the package list of Debian $debian_suite from this machine's mirror"
    mkdir -p "$debian"/{state,lists/partial,cache,archives/partial,packages}
    : >"$debian/status"
    echo "deb [signed-by=$debian_keys] $mirror $debian_suite main" >"$debian/sources.list"
    shown debian-update private_apt update
}

# debian_packages <package…>: downloads those that are not there yet, and prints the files' paths.
debian_packages() {
    local package debian wanted=()
    debian=$(debian_folder)
    for package; do
        compgen -G "$debian/packages/${package}_*.deb" >/dev/null || wanted+=("$package")
    done
    if [ ${#wanted[@]} -gt 0 ]; then
        debian_prepare >&2
        (cd "$debian/packages" && shown debian-download private_apt download "${wanted[@]}" >&2)
    fi
    for package; do compgen -G "$debian/packages/${package}_*.deb" | tail -n 1; done
}

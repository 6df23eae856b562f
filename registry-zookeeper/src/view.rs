//! A view: core's [`View`] over watches of a service's node and of those below it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use registry_core::ServiceName;
use registry_core::store::{StoreError, View, ViewChange};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::client::{Child, may_read, read};
use crate::engine::{Failure, Watch};
use crate::entries;
use crate::transport::{Link, all};

#[cfg(test)]
mod tests;

/// How often a service that comes and goes is looked at before the view gives up.
const TRIES: usize = 5;

/// How many children of a first list are read at a time. Each part may take an attempt, so that a large service is known over a slow link, too.
const PART: usize = 1_024;

/// How many changed children are read at a time. Core asks for a sign of life after a second, and what was being read is then read anew: a part takes far
/// less, also over a slow link.
const BURST: usize = 128;

/// A view of one service. A watch tells once, and is armed again by the read that it causes: of the list when children came or went, of one child when that
/// one changed.
pub(crate) struct ZooKeeperView {
    link: Arc<Link>,
    chroot: String,
    service: ServiceName,
    folder: String,
    changes: UnboundedReceiver<String>,
    /// The first list, until it was read.
    listed: Option<Listed>,
    /// The children that were told of, and whether we may read them.
    known: HashMap<String, bool>,
    /// What has to be read again. Kept until it was read, so that a dropped [`View::next`] loses nothing.
    due: Due,
    queue: VecDeque<ViewChange>,
}

/// The children that were listed at first, and those of them that were read.
struct Listed {
    children: Vec<String>,
    read: usize,
    found: Vec<(String, Child)>,
}

#[derive(Default)]
struct Due {
    list: bool,
    children: BTreeSet<String>,
    /// The last child that was read: those behind it have their turn, however often those before it change.
    last: String,
}

impl Due {
    fn part(&self) -> Vec<String> {
        let behind = (Bound::Excluded(&self.last), Bound::Unbounded);
        let before = (Bound::Unbounded, Bound::Included(&self.last));
        let turns = self.children.range::<String, _>(behind).chain(self.children.range::<String, _>(before));
        turns.take(BURST).cloned().collect()
    }
}

impl ZooKeeperView {
    pub(crate) async fn open(link: Arc<Link>, chroot: String, service: ServiceName) -> Result<Self, Failure> {
        let folder = format!("{chroot}{}", entries::folder(&service));
        let changes = link.listen(&folder);
        let (known, due, queue) = (HashMap::new(), Due::default(), VecDeque::new());
        let mut view = Self { link, chroot, service, folder, changes, listed: None, known, due, queue };
        let children = view.list().await?;
        if children.is_empty() {
            may_read(&view.link, &view.chroot).await?;
        }
        view.listed = Some(Listed { children, read: 0, found: Vec::new() });
        Ok(view)
    }

    /// Reads the next part of the children that were listed at first; `None` when all were read. One that is gone by then is not known: its node may come
    /// back before the list is read again.
    async fn begin(&mut self) -> Result<Option<ViewChange>, Failure> {
        let Some(Listed { children, read, .. }) = &self.listed else { return Ok(None) };
        let end = children.len().min(read + PART);
        let part = self.read(&children[*read..end]).await?;
        // Nothing is awaited from here on, so that a part is taken in whole.
        let Some(mut listed) = self.listed.take() else { return Ok(None) };
        listed.found.extend(part);
        listed.read = end;
        if end < listed.children.len() {
            self.listed = Some(listed);
            return Ok(Some(ViewChange::Alive));
        }
        let mut full = Vec::new();
        for (child, read) in listed.found {
            let readable = !read.is_denied();
            if let Some(found) = read.found() {
                self.known.insert(child, readable);
                full.push(found);
            }
        }
        if self.is_denied() {
            return Err(Failure::NoAuth);
        }
        Ok(Some(ViewChange::Full(full)))
    }

    /// The children, with a watch armed on what would change them: on the service's node, or on its creation.
    async fn list(&self) -> Result<Vec<String>, Failure> {
        for _ in 0..TRIES {
            match self.link.children(&self.folder, Watch::Armed).await {
                Err(Failure::NoNode) => {}
                answer => return answer,
            }
            if self.link.exists(&self.folder, Watch::Armed).await?.is_none() {
                return Ok(Vec::new());
            }
        }
        Err(Failure::Other("the service's node comes and goes".into()))
    }

    /// Some children, each with a watch on its data.
    async fn read(&self, children: &[String]) -> Result<Vec<(String, Child)>, Failure> {
        let one = |child| read(&self.link, &self.folder, &self.service, child, Watch::Armed);
        let read = all(children.iter().map(|child| one(child)).collect()).await;
        children.iter().zip(read).map(|(child, read)| Ok((child.clone(), read?))).collect()
    }

    /// Whether there are instances and we may read none of them.
    fn is_denied(&self) -> bool {
        !self.known.is_empty() && self.known.values().all(|readable| !readable)
    }

    fn note(&mut self, path: &str) {
        match path.strip_prefix(&*self.folder) {
            Some("") => self.due.list = true,
            Some(child) => drop(self.due.children.insert(child.trim_start_matches('/').to_owned())),
            None => {}
        }
    }

    /// Reads a part of what is due, and nothing else. What was read is taken in whole: nothing is awaited between.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        if self.due.list {
            let listed: HashSet<String> = self.list().await?.into_iter().collect();
            self.due.list = false;
            // A node that we may not read has no watch: that it was replaced by one that we may is told by the list alone.
            self.due.children.extend(listed.iter().filter(|child| self.known.get(*child) != Some(&true)).cloned());
            self.due.children.extend(self.known.keys().filter(|child| !listed.contains(*child)).cloned());
        }
        let part = self.read(&self.due.part()).await?;
        let mut lost = false;
        for (child, read) in part {
            self.due.children.remove(&child);
            self.due.last.clone_from(&child);
            let readable = !read.is_denied();
            match read.found() {
                Some(found) => {
                    lost |= self.known.insert(child, readable) == Some(true) && !readable;
                    self.queue.push_back(ViewChange::Upsert(found));
                }
                None => {
                    if self.known.remove(&child).is_some() {
                        self.queue.push_back(ViewChange::Remove(entries::key(&self.service, &child)));
                    }
                }
            }
        }
        // Told before anything of it, so that what is known stays. That the last one that we may read is gone is another matter: it is gone.
        if lost && self.is_denied() { Err(Failure::NoAuth) } else { Ok(()) }
    }
}

#[async_trait]
impl View for ZooKeeperView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        if let Some(change) = self.begin().await? {
            return Ok(change);
        }
        loop {
            if let Some(change) = self.queue.pop_front() {
                return Ok(change);
            }
            if !self.due.list && self.due.children.is_empty() {
                let told = tokio::select! {
                    biased;
                    () = self.link.death() => None,
                    told = self.changes.recv() => told,
                };
                let Some(path) = told else { return Err(self.link.gone().into()) };
                self.note(&path);
            }
            // What was told together is read together.
            while let Ok(path) = self.changes.try_recv() {
                self.note(&path);
            }
            self.catch_up().await?;
            self.queue.push_back(ViewChange::Alive);
        }
    }

    /// A sign of life that says whether we still may read as well: watches that stand are not asked for it.
    async fn probe(&mut self) -> Result<(), StoreError> {
        match self.link.get(&self.folder, Watch::None).await {
            Ok(_) => {}
            Err(Failure::NoNode) => may_read(&self.link, &self.chroot).await?,
            Err(failure) => return Err(failure.into()),
        }
        self.queue.push_back(ViewChange::Alive);
        Ok(())
    }
}

impl fmt::Debug for ZooKeeperView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperView").field("folder", &self.folder).finish_non_exhaustive()
    }
}

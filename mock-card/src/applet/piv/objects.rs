//! Data objects: GET DATA and PUT DATA (SP 800-73-4 part 2, 3.1.2 and 3.3.1).

use super::Piv;
use crate::applet::memory::Object;
use crate::applet::object::{self, ObjectNumber};
use crate::applet::profile::Profile;
use crate::applet::status::Status;
use crate::applet::tlv::{self, tag};

impl Piv {
    /// The content of an object. Without the PIN it is not even told whether a protected object is empty.
    pub(super) fn get_data(&self, number: ObjectNumber) -> Result<Vec<u8>, Status> {
        if object::needs_pin(number) && !self.session.pin_verified {
            return Err(Status::SecurityNotSatisfied);
        }
        match self.object(number) {
            Some(content) if object::is_bare(number) => Ok(content.to_vec()),
            Some(content) => Ok(tlv::element(&[tag::DATA], content)),
            None if number == object::DISCOVERY => Ok(object::DISCOVERY_CONTENT.to_vec()),
            None => Err(Status::NotFound),
        }
    }

    /// Replaces the content of an object. Without content, the object is deleted.
    pub(super) fn put_data(&mut self, number: ObjectNumber, content: &[u8]) -> Result<(), Status> {
        if content.is_empty() {
            self.set_object(number, None);
            return Ok(());
        }
        let replaced = self.memory().objects.get(&number).map_or(0, |object| object.0.len());
        let total = self.memory().object_bytes() - replaced + content.len();
        if content.len() > Profile::LARGEST_OBJECT || total > Profile::OBJECT_MEMORY {
            return Err(Status::MemoryFull);
        }
        self.set_object(number, Some(Object(content.to_vec())));
        Ok(())
    }
}

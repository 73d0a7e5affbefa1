//! What JavaScript hands over, checked. A number there may be 0.5, NaN or 2⁵³, and would silently become
//! another number on its way into an integer; an object may lack a field, or have one with a slip in its name.

use deniable::{ParamsError, Response};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::error::{Result, bad_argument};

/// A whole number from 0 to 2³² − 1. Narrower limits are the sdk's to know.
pub(crate) fn whole(name: &str, number: f64) -> Result<u32> {
    let whole = number as u32;
    if f64::from(whole) == number {
        Ok(whole)
    } else {
        Err(bad_argument(&format!("{name} is {number}, but must be a whole number from 0 to 4294967295")))
    }
}

/// Exactly N bytes, copied straight to where they stay.
pub(crate) fn bytes<const N: usize>(name: &str, from: &Uint8Array, to: &mut [u8; N]) -> Result<()> {
    if from.length() as usize != N {
        return Err(bad_argument(&format!("{name} has {} bytes, but must have {N}", from.length())));
    }
    from.copy_to(to);
    Ok(())
}

/// An object with named fields.
pub(crate) struct Fields<'a>(&'a JsValue);

impl<'a> Fields<'a> {
    /// Takes an object whose every field has one of the `known` names.
    pub(crate) fn new(object: &'a JsValue, known: &[&str]) -> Result<Self> {
        if !object.is_object() {
            return Err(bad_argument(&format!("an object with the fields {known:?} was expected")));
        }
        for key in Object::keys(object.unchecked_ref::<Object>()) {
            let key = key.as_string().unwrap_or_default();
            if !known.contains(&key.as_str()) {
                return Err(bad_argument(&format!("there is no field {key:?}: the fields are {known:?}")));
            }
        }
        Ok(Self(object))
    }

    /// A field, unless it is missing or undefined.
    pub(crate) fn get(&self, name: &str) -> Option<JsValue> {
        Reflect::get(self.0, &name.into()).ok().filter(|field| !field.is_undefined())
    }

    /// A field that must be a number.
    pub(crate) fn number(&self, name: &str) -> Result<f64> {
        let number = self.get(name).and_then(|field| field.as_f64());
        number.ok_or_else(|| bad_argument(&format!("{name} must be given, as a number")))
    }

    /// A field that must be a whole number.
    pub(crate) fn whole(&self, name: &str) -> Result<usize> {
        Ok(whole(name, self.number(name)?)? as usize)
    }

    /// A whole number that is 1 where it is not given.
    pub(crate) fn whole_or_one(&self, name: &str) -> Result<usize> {
        if self.get(name).is_some() { self.whole(name) } else { Ok(1) }
    }

    /// A response stage, `{ zero, one }`, if it is given.
    pub(crate) fn stage(&self, name: &str) -> Result<Option<Response>> {
        let Some(stage) = self.get(name) else { return Ok(None) };
        let stage = Fields::new(&stage, &["zero", "one"])?;
        let response: core::result::Result<_, ParamsError> =
            Response::nearest(stage.number("zero")?, stage.number("one")?);
        Ok(Some(response?))
    }
}
